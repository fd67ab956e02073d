"""Every data set gives a working deployment: a model that learnt something, clients that keep to the data's
grid, attacks that run to the end."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.traces import HISTORY, TRACE, Truth, make
from benchmarks.traces.attacks import ATTACKS, Attacker, carry_out
from benchmarks.traces.benign import KINDS, Client
from benchmarks.traces.data import NUMERIC, Dataset, foreign_pool, load
from benchmarks.traces.recorder import Recorder
from benchmarks.traces.targets import Population, train

SEED = 3
NEW = tuple(name for name in NUMERIC if name not in ("digits", "cancer"))
WIDTHS = {"wine": 13, "segments": 18, "phishing": 9, "photos": 144, "synthetic": 29, "iris": 4, "text": 256}
WIDTHS |= {"textures": 784, "flares": 22, "embeddings": load("embeddings", SEED).columns}
WIDTHS |= {name: load(name, SEED).columns for name in ("census", "gauges", "survey")}
DISCRETE = {"segments": 2, "phishing": 9, "synthetic": 4, "census": 9, "flares": 9}
DISCRETE["survey"] = WIDTHS["survey"]

AS_RECORDED = {
    "ordinary",
    "class_skewed",
    "retries",
    "health_check",
    "load_test",
    "sorted_batch",
    "nearest_first",
}
"""Kinds whose rows are all as the data's source writes them."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """One tiny run over all data sets but the default two, with every attack."""
    directory = tmp_path_factory.mktemp("deployments")
    return directory, make(directory, SEED, False, 24, 60, list(ATTACKS), queries=(30, 40), models=NEW)


def records_of(path: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(path) as lines:
        records = [json.loads(line) for line in lines]
    return [r for r in records if r["model_id"].startswith(f"{name}-")]


@pytest.mark.parametrize("name", NEW)
def test_a_tiny_trace_has_the_native_fields(made: tuple[Path, Truth], name: str) -> None:
    directory, _ = made
    records = records_of(directory / HISTORY, name) + records_of(directory / TRACE, name)
    assert records
    classes = load(name, SEED).classes
    for r in records:
        strings = ("model_id", "client_id", "session_id", "request_id", "source_ip", "user_agent")
        assert all(isinstance(r[field], str) and r[field] for field in strings)
        assert len(r["input"]) == WIDTHS[name]
        assert np.isfinite(r["input"]).all()
        assert len(r["probabilities"]) == classes
        assert sum(r["probabilities"]) == pytest.approx(1.0, abs=1e-4)


def test_every_attack_ran_and_every_model_was_attacked(made: tuple[Path, Truth]) -> None:
    _, truth = made
    assert {s.kind for s in truth.attacks()} == set(ATTACKS)
    assert {s.model_id.split("-")[0] for s in truth.attacks()} == set(NEW)


@pytest.mark.parametrize("name", NEW)
def test_logged_inputs_of_ordinary_sessions_are_on_the_grid(made: tuple[Path, Truth], name: str) -> None:
    directory, truth = made
    honest = {s.session_id for s in truth.sessions if s.kind in AS_RECORDED}
    sent = [r["input"] for r in records_of(directory / TRACE, name) if r["session_id"] in honest]
    assert sent
    x, data = np.array(sent, dtype=np.float64), load(name, SEED)
    # Clients write six significant digits or more: far below one part in a hundred thousand of a range.
    np.testing.assert_allclose(data.to_unit(x), data.to_unit(data.snap(x)), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(x, data.keep_discrete(x))


@pytest.mark.parametrize("name", NEW)
def test_discrete_inputs_hold_their_own_values(name: str) -> None:
    data = load(name, SEED)
    assert len(data.fields) == DISCRETE.get(name, 0)
    for field in data.fields:
        rows = data.keep_discrete(data.from_unit(np.random.default_rng(1).random((200, data.columns))))
        seen = {tuple(row) for row in rows[:, field.columns]}
        assert seen == {tuple(value) for value in field.values}
        assert {tuple(row) for row in data.train[:, field.columns]} <= seen


def test_one_hot_codes_stay_one_hot() -> None:
    data = load("synthetic", SEED)
    (first, second) = (field for field in data.fields if field.columns.size > 1)
    assert (first.columns.size, second.columns.size) == (3, 4)
    rng = np.random.default_rng(2)
    sent = KINDS["what_if"].draw(Client(Population(data), rng, np.full(data.classes, 1 / data.classes)), 200)
    for field in (first, second):
        assert set(np.unique(sent[:, field.columns])) == {0.0, 1.0}
        assert (sent[:, field.columns].sum(axis=1) == 1.0).all()


def test_every_seed_makes_another_synthetic_table() -> None:
    tables = [load("synthetic", seed) for seed in range(4)]
    assert len({t.train.tobytes() for t in tables}) == 4
    assert len({t.classes for t in tables}) > 1


@pytest.mark.parametrize(
    ("name", "least"), [("segments", 0.9), ("phishing", 0.85), ("photos", 0.6), ("text", 0.6)]
)
def test_models_learn_their_task(name: str, least: float) -> None:
    target = train(name, SEED)
    right = target.predict(target.dataset.live).argmax(axis=1) == target.dataset.live_labels
    assert right.mean() > least


def test_seeds_take_the_kinds_of_model_in_turn() -> None:
    kinds = {type(train("phishing", seed).model).__name__ for seed in (3, 4, 5)}
    assert kinds == {"RandomForestClassifier", "Pipeline", "HistGradientBoostingClassifier"}


def test_attribute_inversion_tries_the_values_of_a_discrete_column() -> None:
    target = train("phishing", SEED)
    recorder = Recorder(target, 60, 7)
    carry_out("attribute_inversion", Attacker(recorder, np.random.default_rng(1), 60))
    np.testing.assert_array_equal(recorder.inputs, target.dataset.keep_discrete(recorder.inputs))
    assert np.count_nonzero(recorder.inputs[0] != recorder.inputs[1]) == 1


@pytest.mark.parametrize("name", NEW)
def test_foreign_pools_fit_the_model_and_are_not_its_data(name: str) -> None:
    data = load(name, SEED)
    pool = foreign_pool(data, np.random.default_rng(1), 150)
    assert pool.shape == (150, data.columns)
    np.testing.assert_array_equal(pool, data.keep_discrete(pool))
    if name not in ("phishing", "flares", "survey"):  # few values a column: any row may occur
        assert not _rows(data, pool) & _rows(data, data.train)


def _rows(data: Dataset, x: np.ndarray[Any, np.dtype[np.float64]]) -> set[bytes]:
    return {row.tobytes() for row in data.snap(x)}
