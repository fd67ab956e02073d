"""The detection benchmark: measured on a small deployment, kept in its cache, printed as tables."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.detection import peer_table, tables
from benchmarks.detection.cache import TRACES, Cache, Stored
from benchmarks.detection.plans import cases, compared, deployments
from benchmarks.detection.run import Case, Deployed
from benchmarks.detection.workload import Plan, Workload
from benchmarks.traces import VARIANTS, Variant, explainers
from benchmarks.traces.attacks import WORDED, fitting

PLAN = Plan(5, ("cancer",), 700, 60, ("random_extraction", "hop_skip_jump"), (120,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def deployed(folder: Path) -> Deployed:
    return Deployed(PLAN, Cache(folder))


def test_attacks_are_found_and_honest_sessions_left_alone(deployed: Deployed) -> None:
    outcome = deployed.outcome(Case("plain"))
    assert {one.kind for one in outcome.attacks} == set(PLAN.attacks)
    assert all(one.after is not None and one.after <= one.queries == 120 for one in outcome.attacks)
    assert sum(outcome.benign.values()) == 60
    assert outcome.false_alerts == []


def test_variants_cost_no_new_attack(deployed: Deployed, folder: Path) -> None:
    plain = deployed.outcome(Case("plain"))
    hidden = deployed.outcome(Case("dummies", Variant(dilution=0.5), background=10, every=False))
    assert [one.queries for one in hidden.attacks] == [one.queries for one in plain.attacks]
    assert sum(hidden.benign.values()) == 10
    recordings = deployed.workload.recordings
    again = Workload(PLAN, Cache(folder))
    for one, other in zip(recordings, again.recordings, strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)
        np.testing.assert_array_equal(one.answers, other.answers)
    assert "deployment" not in vars(again)


def test_a_measured_case_is_read_back(deployed: Deployed, folder: Path) -> None:
    before = deployed.outcome(Case("plain"))
    again = Deployed(PLAN, Cache(folder))
    assert again.outcome(Case("plain")) == before
    assert "traffic" not in vars(again.workload)


def test_the_cache_tells_parameters_and_code_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, made = Cache(tmp_path), iter(range(9))
    key: dict[str, object] = {"a": 1}
    assert kept.get(key, TRACES, int, lambda: next(made)) == 0
    assert kept.get(key, TRACES, int, lambda: next(made)) == 0
    assert kept.get({"a": 2}, TRACES, int, lambda: next(made)) == 1
    monkeypatch.setattr("benchmarks.detection.cache.fingerprint", lambda folders: "other code")
    assert kept.get(key, TRACES, int, lambda: next(made)) == 2
    assert Cache(None).get(key, TRACES, int, lambda: next(made)) == 3


def test_recordings_are_stored_exactly(deployed: Deployed) -> None:
    recording = deployed.workload.recordings[0]
    again = Stored.of(recording).recording()
    assert replace(again, inputs=recording.inputs, answers=recording.answers, own=recording.own) == recording
    np.testing.assert_array_equal(again.inputs, recording.inputs)
    np.testing.assert_array_equal(again.answers, recording.answers)


def test_the_tables_say_what_was_found(deployed: Deployed) -> None:
    outcome = deployed.outcome(Case("plain"))
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(tables.attacks(outcome.attacks, "attacks"))
    console.print(tables.data_sets(outcome.attacks, "data sets"))
    console.print(tables.variants({"plain": [outcome], "none": []}, "variants"))
    console.print(tables.false_alerts([outcome], "false"))
    text = console.export_text()
    for told in ("hop_skip_jump", "100%", "cancer", "1/1", "0 of 60", "0.0 to"):
        assert told in text


def test_explainers_are_reported_apart(deployed: Deployed) -> None:
    explained = deployed.explained()
    assert len(explained) == 3
    assert {kind for kind, _ in explained} <= set(explainers.KINDS)
    console = Console(width=140, file=io.StringIO(), record=True)
    told = [("lime", ""), ("shap", "model_probing"), ("shap", ""), ("shap", "model_probing")]
    console.print(tables.explainers(told, "explainers"))
    lines = [line.replace("│", "").split() for line in console.export_text().splitlines()]
    assert ["lime", "1", "0", "(0%)", "0"] in lines
    assert ["shap", "3", "2", "(67%)", "2"] in lines
    assert not {s.client_id for s in deployed.workload.explainers} & {
        s.client_id for sessions in deployed.workload.traffic for s in sessions
    }


def test_peers_are_measured_beside_querywatch(deployed: Deployed, folder: Path) -> None:
    told: list[str] = []
    detectors = peer_table.measured([deployed], [Case("plain")], told.append)
    ours = detectors[0]
    alerts = deployed.outcome(Case("plain")).attacks
    assert [one.after for one in ours.found["plain"]] == [one.after for one in alerts]
    assert [len(told), *(sum(d.wrong[0].sessions) for d in detectors)] == [8, *[60] * 8]
    console = Console(width=150, file=io.StringIO(), record=True)
    console.print(peer_table.peers(detectors, "peers"))
    text = console.export_text()
    for name in (peer_table.OURS, "PRADA", "2/2", "per 10,000", "copies apart", "60 benign"):
        assert name in text
    again = Deployed(PLAN, Cache(folder))
    assert [d.wrong for d in peer_table.measured([again], [Case("plain")], told.append)] == [
        d.wrong for d in detectors
    ]
    assert "traffic" not in vars(again.workload)


def test_what_peers_see_and_cannot_see_is_said() -> None:
    notes = " ".join(peer_table.NOTES.split())
    for told in (
        "Stateful Detection and PrivMon see the model's training data",
        "PRADA can fire after 100 queries",
        "Stateful Detection after 50",
        "from the 258th",
        "at the 500th",
        "to 25 accounts (12 queries each; 24 in the full form) none of the four can fire",
        "Only the full form",
    ):
        assert told in notes
    assert {case.outputs for case in compared(False)} == {"probabilities"}
    assert [case.name for case in compared(False)] == list(VARIANTS)
    assert {case.name for case in compared(True)} < set(VARIANTS)


def test_quick_and_full_measure_the_same_cases() -> None:
    assert [case.name for case in cases(True)] == [case.name for case in cases(False)]
    assert {case.name for case in cases(True)} > set(VARIANTS)
    full = deployments(7, 4, False)
    assert [plan.seed for plan in full] == [7, 8, 9, 10]
    assert [plan.rescale for plan in full] == [False, True, False, True]
    assert [plan.models for plan in deployments(7, 4, True)] == [plan.models for plan in full]
    texts = deployments(7, 2, True, texts=True)
    assert [set(plan.attacks) for plan in texts] == [set(WORDED), set(WORDED)]
    assert [plan.rescale for plan in texts] == [False, False]
    assert all(fitting(name, texts=True) for plan in texts for name in plan.attacks)
