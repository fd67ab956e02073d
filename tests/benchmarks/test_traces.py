"""The trace maker: what it writes is a true record of what the models answered, and repeats exactly."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.traces import HISTORY, TRACE, TRUTH, Truth, make
from benchmarks.traces.__main__ import app
from benchmarks.traces.attacks import ATTACKS
from benchmarks.traces.benign import KINDS
from benchmarks.traces.recorder import BudgetSpent, Recorder, significant
from benchmarks.traces.targets import Target, train

Record = dict[str, Any]
SEED = 3


def read(path: Path) -> list[Record]:
    return [json.loads(line) for line in gzip.open(path)]


def by_session(path: Path) -> dict[str, list[Record]]:
    sessions: dict[str, list[Record]] = defaultdict(list)
    for record in read(path):
        sessions[record["session_id"]].append(record)
    return sessions


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """One small run with every attack."""
    directory = tmp_path_factory.mktemp("traces")
    return directory, make(directory, SEED, False, 30, 20, list(ATTACKS), queries=(40, 90))


@pytest.fixture(scope="module")
def targets() -> dict[str, Target]:
    return {target.model_id: target for target in (train("digits", SEED), train("cancer", SEED))}


def test_every_session_of_the_truth_is_in_the_log(made: tuple[Path, Truth]) -> None:
    directory, truth = made
    logged = by_session(directory / TRACE)
    assert set(logged) == {session.session_id for session in truth.sessions}
    for session in truth.sessions:
        records = logged[session.session_id]
        assert len(records) == session.queries
        assert {r["client_id"] for r in records} == {session.client_id}
        assert {r["model_id"] for r in records} == {session.model_id}
        assert (records[0]["timestamp"], records[-1]["timestamp"]) == (session.first, session.last)
    assert {s.kind for s in truth.attacks()} == set(ATTACKS)
    assert all(s.attack_queries == s.queries for s in truth.attacks())
    assert len(truth.sessions) == 20 + len(ATTACKS)


def test_records_carry_the_native_fields_in_time_order(made: tuple[Path, Truth]) -> None:
    directory, truth = made
    history, trace = read(directory / HISTORY), read(directory / TRACE)
    assert len(history) == truth.history_queries
    for records in (history, trace):
        times = [r["timestamp"] for r in records]
        assert times == sorted(times)
        for r in records:
            strings = ("model_id", "client_id", "session_id", "request_id", "source_ip", "user_agent")
            assert all(isinstance(r[name], str) and r[name] for name in strings)
            assert len(r["input"]) == (64 if r["model_id"].startswith("digits") else 30)
            assert np.isfinite(r["input"]).all()
            assert sum(r["probabilities"]) == pytest.approx(1.0, abs=1e-4)
    assert max(r["timestamp"] for r in history) < min(r["timestamp"] for r in trace)


def test_logged_answers_are_what_the_model_answers(
    made: tuple[Path, Truth], targets: dict[str, Target]
) -> None:
    directory, _ = made
    for records in by_session(directory / TRACE).values():
        inputs = np.array([r["input"] for r in records], dtype=np.float64)
        answers = targets[records[0]["model_id"]].predict(inputs)
        logged = np.array([r["probabilities"] for r in records])
        np.testing.assert_allclose(logged, answers, rtol=1e-5, atol=1e-12)


def test_no_pause_in_a_session_is_longer_than_the_gap_rule(made: tuple[Path, Truth]) -> None:
    directory, _ = made
    for records in by_session(directory / TRACE).values():
        assert np.diff([r["timestamp"] for r in records]).max(initial=0.0) < 1800.0


def test_ids_tell_nothing_about_attacks(made: tuple[Path, Truth]) -> None:
    directory, truth = made
    words = [*ATTACKS, *KINDS, "attack", "benign", "inversion", "extraction", "evasion", "membership"]
    text = gzip.decompress((directory / TRACE).read_bytes()).decode()
    assert not [word for word in words if word in text]
    lengths = {(s.family == "benign", len(s.client_id), len(s.session_id)) for s in truth.sessions}
    assert len(lengths) == 2


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    def run(name: str, seed: int) -> list[bytes]:
        make(tmp_path / name, seed, True, 10, 5, list(ATTACKS), queries=(30, 60))
        return [(tmp_path / name / file).read_bytes() for file in (HISTORY, TRACE, TRUTH)]

    first, again, other = run("first", 8), run("again", 8), run("other", 9)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    ids = [{s["session_id"] for s in json.loads(files[2])["sessions"]} for files in (first, other)]
    assert not ids[0] & ids[1]


def test_rescaled_logs_hold_the_same_queries_in_other_units(made: tuple[Path, Truth], tmp_path: Path) -> None:
    directory, _ = made
    make(tmp_path, SEED, True, 30, 20, list(ATTACKS), queries=(40, 90))
    for model, columns in (("digits", 64), ("cancer", 30)):
        pairs = []
        for file in (HISTORY, TRACE):
            plain, scaled = read(directory / file), read(tmp_path / file)
            assert [r["probabilities"] for r in plain] == [r["probabilities"] for r in scaled]
            pairs += [
                (p["input"], s["input"])
                for p, s in zip(plain, scaled, strict=True)
                if p["model_id"].startswith(model)
            ]
        x, y = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
        assert x.shape[1] == columns
        for column in np.flatnonzero(x.std(axis=0) > 0):
            factor, offset = np.polyfit(x[:, column], y[:, column], 1)
            assert 0.9e-3 < factor < 1.1e3
            np.testing.assert_allclose(factor * x[:, column] + offset, y[:, column], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "fields"),
    [
        ("confidence", {"confidence", "label"}),
        ("rounded", {"confidence", "label"}),
        ("label", {"label"}),
        ("none", set[str]()),
    ],
)
def test_outputs_say_what_the_log_tells(tmp_path: Path, outputs: Any, fields: set[str]) -> None:
    make(tmp_path, 4, False, 4, 2, ["random_extraction"], queries=(20, 20), outputs=outputs)
    for record in read(tmp_path / HISTORY) + read(tmp_path / TRACE):
        assert record.keys() & {"probabilities", "confidence", "label"} == fields
        if outputs == "rounded":
            assert record["confidence"] == round(record["confidence"], 2)


def test_the_recorder_keeps_what_it_scored_and_stops_at_the_budget(targets: dict[str, Target]) -> None:
    target = targets["cancer-4"]
    recorder = Recorder(target, 5, 6)
    rows = target.dataset.live[:4] * 1.0000001
    answers = recorder.predict(rows)
    np.testing.assert_array_equal(answers, target.predict(significant(rows, 6)))
    with pytest.raises(BudgetSpent):
        recorder.predict(rows)
    with pytest.raises(BudgetSpent):
        recorder.predict(rows)
    assert recorder.calls == [4, 1]
    assert len(recorder.inputs) == len(recorder.answers) == 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--attack", "nonsense"], "unknown attacks nonsense"),
        (["--least", "9", "--most", "3"], "range"),
        (["--natural", "1.5"], "natural must be 0 to 1"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(app, [str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert told in result.output


def test_the_command_writes_and_sums_up(tmp_path: Path) -> None:
    options = ["--history-sessions", "4", "--sessions", "2", "--attack", "random_extraction", "--most", "150"]
    result = CliRunner().invoke(app, [str(tmp_path / "new"), *options])
    assert result.exit_code == 0
    assert "3 sessions, 1 of them attacks" in result.stdout
    assert "training the targets" in result.stderr
    assert len(read(tmp_path / "new" / TRACE)) > 150


def test_models_of_texts_and_of_numbers_share_no_attack(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path), "--model", "messages", "--model", "digits"])
    assert result.exit_code == 2
    assert "no attack fits all of these models" in result.output
