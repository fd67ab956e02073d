"""Crowds: how honest clients are mixed, and attackers who measure by their own rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.traces import TRACE, Truth, make
from benchmarks.traces.benign import KINDS
from benchmarks.traces.crowd import Crowd
from benchmarks.traces.recording import record
from benchmarks.traces.targets import Target, train


def test_the_stated_crowd_has_the_stated_shares() -> None:
    crowd = Crowd.stated(KINDS)
    chosen = crowd.choose(np.random.default_rng(1).random(200_000))
    found = np.bincount(chosen, minlength=len(KINDS)) / len(chosen)
    np.testing.assert_allclose(found, [kind.share for kind in KINDS.values()], atol=0.005)
    assert crowd.patience == 1.0


def test_drawn_crowds_are_unlike_each_other() -> None:
    rng = np.random.default_rng(1)
    crowds = [Crowd.drawn(KINDS, rng) for _ in range(200)]
    shares = np.array([crowd.shares for crowd in crowds])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    for kind in shares.T:
        found = kind[kind > 0]
        assert np.quantile(found, 0.9) > 4 * np.quantile(found, 0.1)
    patience = np.array([crowd.patience for crowd in crowds])
    assert 0.8 < np.median(patience) < 1.25 and patience.min() < 0.5 and patience.max() > 2.0


def test_drawn_crowds_lack_some_kinds_but_never_ordinary_clients() -> None:
    rng = np.random.default_rng(1)
    found = np.array([Crowd.drawn(KINDS, rng).shares > 0 for _ in range(400)])
    assert found[:, list(KINDS).index("ordinary")].all()
    assert found[:, 1:].any(axis=0).all()
    count = found.sum(axis=1)
    assert count.min() < 0.4 * len(KINDS) and count.max() > 0.9 * len(KINDS)


def test_patient_crowds_send_longer_sessions() -> None:
    def lengths(patience: float) -> list[int]:
        rng = np.random.default_rng(1)
        return [KINDS["wander"].length(rng, patience) for _ in range(500)]

    assert np.median(lengths(3.0)) == pytest.approx(3 * np.median(lengths(1.0)), rel=0.1)
    assert max(lengths(30.0)) == KINDS["wander"].longest


def test_a_varied_deployment_has_other_shares_for_each_model(tmp_path: Path) -> None:
    def made(name: str, varied: bool) -> Truth:
        return make(
            tmp_path / name,
            5,
            history_sessions=1,
            benign_sessions=600,
            attacks=(),
            models=("wine", "iris"),
            varied=varied,
        )

    plain, varied = made("plain", False), made("varied", True)

    def apart(truth: Truth) -> int:
        wine, iris = (
            Counter(s.kind for s in truth.sessions if s.model_id[:4] == m) for m in ("wine", "iris")
        )
        return sum(abs(wine[kind] - iris[kind]) for kind in KINDS)

    assert apart(varied) > 1.5 * apart(plain)
    assert varied.settings["varied"] and not plain.settings["varied"]
    assert (tmp_path / "plain" / TRACE).read_bytes() != (tmp_path / "varied" / TRACE).read_bytes()


@pytest.fixture(scope="module")
def cancer() -> Target:
    return train("cancer", 3)


def test_who_scales_by_own_rows_stays_near_them(cancer: Target) -> None:
    seen = cancer.dataset.as_seen_by_attacker(2.0)
    own = cancer.dataset.attacker
    np.testing.assert_allclose(seen.high, np.minimum(own.mean(0) + 2 * own.std(0), cancer.dataset.high))
    assert (seen.low >= cancer.dataset.low).all() and (seen.attacker <= seen.high).all()
    drawn = record(cancer, "random_extraction", 200, 9, np.random.default_rng(1), own_scale=True)
    public = record(cancer, "random_extraction", 200, 9, np.random.default_rng(1))
    assert drawn.inputs.std(axis=0).mean() < 0.9 * public.inputs.std(axis=0).mean()
    np.testing.assert_allclose(drawn.answers, cancer.predict(drawn.inputs))


def test_discrete_inputs_keep_their_range() -> None:
    data = train("phishing", 3).dataset
    seen = data.as_seen_by_attacker(2.0)
    for field in data.fields:
        np.testing.assert_array_equal(seen.low[field.columns], data.low[field.columns])
        np.testing.assert_array_equal(seen.high[field.columns], data.high[field.columns])
