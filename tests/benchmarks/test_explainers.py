"""Explainers and long sessions: what they send, and how much."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.traces import benign, explainers
from benchmarks.traces.benign import Client
from benchmarks.traces.deployment import Deployment
from benchmarks.traces.schedule import Period
from benchmarks.traces.targets import Population, Target, train
from detector.query import FloatArray

SEED = 3


@pytest.fixture(scope="module", params=["digits", "cancer", "phishing", "synthetic"])
def target(request: pytest.FixtureRequest) -> Target:
    name: str = request.param
    return train(name, SEED)


def sent(kind: str, population: Population, n: int) -> FloatArray:
    mix = np.full(population.dataset.classes, 1.0 / population.dataset.classes)
    return explainers.KINDS[kind].draw(Client(population, np.random.default_rng(1), mix), n)


@pytest.mark.parametrize("kind", explainers.KINDS)
def test_explainers_keep_to_what_the_model_takes(target: Target, kind: str) -> None:
    data, x = target.dataset, sent(kind, target.population, 150)
    assert x.shape == (150, data.columns)
    assert ((x >= data.low) & (x <= data.high)).all()
    np.testing.assert_array_equal(x, data.keep_discrete(x))


def test_shap_goes_from_a_record_to_another_and_back_one_input_at_a_time(target: Target) -> None:
    data = target.dataset
    inputs = data.columns - sum(field.columns.size - 1 for field in data.fields)
    walk = sent("shap", target.population, 2 * inputs + 1)
    np.testing.assert_array_equal(walk[0], walk[-1])
    widest = max([1, *(field.columns.size for field in data.fields)])
    assert (np.count_nonzero(np.diff(walk, axis=0), axis=1) <= widest).all()
    assert len(np.unique(walk, axis=0)) > inputs // 4


def test_lime_stays_round_its_record(target: Target) -> None:
    data, x = target.dataset, sent("lime", target.population, explainers.SAMPLES + 1)
    if data.side:
        kept = x[1:] == x[0]
        assert 0.3 < kept.mean() < 0.8
        assert ((x[1:] == x[0].mean()) | kept).all()
    else:
        away = np.median(np.abs(data.to_unit(x[1:]) - data.to_unit(x[:1])), axis=0)
        assert (away < 0.5).all()
        assert len(np.unique(x, axis=0)) > 30


def test_a_few_benign_sessions_are_very_long() -> None:
    deployment = Deployment(SEED, ("iris",))
    sessions = deployment.benign(1500, Period(deployment.first_day, 4.0))
    long = Counter(s.kind for s in sessions if len(s.times) >= 1000)
    assert set(long) == {"long_batch", "long_drift", "long_wander", "long_shared_address"}
    assert 3 <= sum(long.values()) <= 20
    assert max(len(s.times) for s in sessions if not s.kind.startswith("long")) <= 500
    for kind in long:
        lengths = [benign.KINDS[kind].length(np.random.default_rng(i)) for i in range(200)]
        assert min(lengths) >= 1000 and max(lengths) <= 3000
