"""The prior: what judges a model until it has a profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import prior
from detector.features import inputs as units
from detector.features.catalogue import INDEX, NAMES
from detector.input_sample import AGAIN, SAMPLE_QUERIES
from detector.learner import WINDOW
from detector.pipeline import Shard
from detector.prior import Prior
from detector.profile import MINIMUM_SESSIONS
from detector.query import Record
from detector.settings import Settings
from tests import traffic
from tests.detector import scenario

ONLINE, SILENT = Settings(), Settings(prior=False)
EARLY = traffic.START + 420.0
"""After the first SAMPLE_QUERIES of the log below, and long before its first profile."""


@pytest.fixture(scope="module")
def log() -> list[Record]:
    """Honest sessions, and one search early. Units are learned twice in it."""
    return scenario.records(scenario.benign(320, seed=2), traffic.inversion(seed=3, queries=120, at=EARLY))


def judged(log: list[Record], settings: Settings = ONLINE) -> list[dict[str, Any]]:
    return [alert.document for alert in Shard(settings, {}).process(log).alerts]


def test_a_search_alerts_before_there_is_a_profile(log: list[Record]) -> None:
    begun = next(n for n, record in enumerate(log) if record.client_id == "attacker-3")
    assert begun > SAMPLE_QUERIES
    shard = Shard(ONLINE, {})
    alerts = [alert.document for alert in shard.process(log).alerts]
    assert {alert["user"]["id"] for alert in alerts} == {"attacker-3"}
    first = alerts[0]
    assert first["querywatch"]["profile"]["version"] == prior.shipped().profile.version
    assert "what is known of other models" in first["event"]["reason"]
    assert first["querywatch"]["session"]["queries"] <= 80
    state = shard.models["toy"]
    assert state.profile is None
    # What it found teaches nothing.
    assert state.learner is not None
    assert state.learner.alerted
    assert not set(state.learner.clean().entities.tolist()) & state.learner.alerted


def test_who_does_not_want_it_gets_no_alerts(log: list[Record]) -> None:
    assert judged(log, SILENT) == []


def test_nothing_alerts_before_the_units_are_known(log: list[Record]) -> None:
    assert judged(log[:SAMPLE_QUERIES]) == []
    attack = scenario.records(traffic.inversion(seed=3, queries=SAMPLE_QUERIES - 1))
    assert judged(attack) == []


def test_a_profile_that_is_handed_in_judges_alone(log: list[Record]) -> None:
    profiles = scenario.profiles("toy")
    alerts = [alert.document for alert in Shard(ONLINE, profiles).process(log).alerts]
    assert {alert["querywatch"]["profile"]["version"] for alert in alerts} == {profiles["toy"].version}
    assert all("other models" not in alert["event"]["reason"] for alert in alerts)


def test_units_are_learned_again_from_more_queries(log: list[Record]) -> None:
    shard = Shard(ONLINE, {})
    shard.process(log[:SAMPLE_QUERIES])
    state = shard.models["toy"]
    first = state.inputs
    shard.process(log[SAMPLE_QUERIES : AGAIN - 1])
    assert state.inputs is first
    assert state.learner is not None
    assert state.learner.points > 100
    alerted = state.learner.alerted_clients()
    assert len(alerted) == 1
    before = state.learner.clean()
    shard.process(log[AGAIN - 1 : AGAIN])
    assert state.inputs is not first
    # What was measured in other units teaches nothing: all is measured anew; who alerted is remembered.
    after = state.learner.clean()
    assert len(after.entities) > len(before.entities)
    assert not np.array_equal(after.features[: len(before.features)], before.features)
    assert state.learner.alerted_clients().tolist() == alerted.tolist()
    assert state.sample is None


def test_a_search_among_the_first_queries_does_not_bend_the_units_for_good() -> None:
    begun = traffic.inversion(seed=5, queries=300, at=traffic.START + 5.0)
    later = traffic.inversion(seed=3, queries=120, at=traffic.START + 1700.0)
    honest = scenario.benign(400, seed=2)
    alone, beside = Shard(ONLINE, {}), Shard(ONLINE, {})
    alone.process(scenario.records(honest, later))
    alerts = beside.process(scenario.records(honest, begun, later)).alerts
    assert "attacker-3" in {alert.document["user"]["id"] for alert in alerts}
    scale = beside.models["toy"].inputs.weight / alone.models["toy"].inputs.weight
    assert scale == pytest.approx(np.ones(traffic.D), rel=0.1)


@pytest.mark.parametrize("size", [1, 97, 1000])
def test_alerts_do_not_depend_on_batches_and_restarts(log: list[Record], size: int) -> None:
    part = log[: 1 + max(n for n, record in enumerate(log) if record.client_id == "attacker-3")]
    expected = scenario.lines(Shard(ONLINE, {}).process(part).alerts)
    shard, found = Shard(ONLINE, {}), []
    for begin in range(0, len(part), size):
        found += scenario.lines(shard.process(part[begin : begin + size]).alerts)
        if size > 1:
            shard = scenario.saved(shard, ONLINE, {})
    assert found == expected != []


def test_the_same_content_is_read_back(tmp_path: Path) -> None:
    shipped = prior.shipped()
    shipped.save(tmp_path / "again.npz")
    again = prior.load(tmp_path / "again.npz")
    assert again.profile.version == shipped.profile.version
    rows = np.random.default_rng(1).random((50, len(NAMES)))
    assert np.array_equal(again.profile.ensemble.score(rows), shipped.profile.ensemble.score(rows))
    assert set(shipped.recogniser.features) <= set(NAMES)
    assert shipped.provenance["seeds"]
    assert len(shipped.provenance["data_sets"]) >= 12


def test_features_go_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    # A catalogue with the same features in another order, and two that the prior has never seen.
    shipped = prior.shipped()
    rows = np.random.default_rng(2).random((50, len(NAMES)))
    names = ("new", *reversed(NAMES), "newer")
    monkeypatch.setattr(prior, "NAMES", names)
    turned = Prior.from_arrays(shipped.arrays())
    wide = np.column_stack([np.full(50, 9.0), rows[:, ::-1], np.full(50, -9.0)])
    signed = turned.quantiles.surprise(wide, np.zeros(len(names), dtype=np.int64), 12.0).signed
    assert np.isnan(signed[:, [0, -1]]).all()
    mine = shipped.profile.ensemble.tail.see(rows).signed
    assert np.array_equal(signed[:, 1:-1], mine[:, ::-1], equal_nan=True)
    points = np.arange(1, 51)
    assert np.array_equal(turned.recogniser.score(signed, points), shipped.recogniser.score(mine, points))
    described = np.hstack([signed, wide, wide])
    again = shipped.recogniser.families(np.hstack([mine, rows, rows]))
    assert np.array_equal(turned.recogniser.families(described), again)


def test_a_feature_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior, "NAMES", NAMES[1:])
    with pytest.raises(ValueError, match=NAMES[0]):
        Prior.from_arrays(prior.shipped().arrays())


def test_the_first_profile_takes_over_after_some_hundred_sessions() -> None:
    late = traffic.inversion(seed=5, queries=120, at=traffic.START + 4_500.0)
    shard = Shard(ONLINE, {})
    outcome = shard.process(scenario.records(scenario.benign(900, seed=2), late))
    state = shard.models["toy"]
    assert state.profile is not None and state.learner is not None
    assert MINIMUM_SESSIONS <= state.profile.tail.sessions < 900
    assert state.learner.points < WINDOW
    named = {
        alert.document["user"]["id"]: alert.document["querywatch"]["profile"] for alert in outcome.alerts
    }
    assert list(named) == ["attacker-5"]
    assert named["attacker-5"]["version"].split("-")[0] in ("1", "2")


def test_it_judges_in_the_units_of_the_model() -> None:
    inputs = units.learn(np.random.default_rng(3).normal(size=(200, 5)))
    judge = prior.judge(inputs)
    assert judge.input_length == 5
    assert judge == replace(prior.shipped().profile, inputs=inputs)
    assert np.isfinite(judge.thresholds(1.0)).all()


def test_one_alone_that_is_normal_elsewhere_surprises_little() -> None:
    tail = prior.shipped().profile.ensemble.tail
    assert tail.quantiles is not None
    median = tail.quantiles.at(0.5)[None, :]
    assert np.nanmax(tail.see(median).extreme) < 2.0
    odd = median.copy()
    odd[0, INDEX["one_column_steps"]] = 1.0
    assert tail.see(odd).extreme[0, INDEX["one_column_steps"]] > 1.0
