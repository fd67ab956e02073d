"""The tail model: families, sides and missing features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from models.tail import FEATURE_CAP, MINIMUM_ROWS, Tail


def _learned(sides: Sequence[int], families: Sequence[int] = (0, 1, 2, 3)) -> Tail:
    model = Tail(np.array(sides, dtype=np.int64), np.array(families, dtype=np.int64))
    model.learn(np.random.default_rng(0).random((1000, 4)))
    return model


MIDDLE = np.full((1, 4), 0.5)


def test_the_score_is_the_mean_over_families_of_the_most_surprising_feature() -> None:
    model = _learned([1] * 4, [0, 0, 1, 1])
    x = np.array([[0.9, 0.99, 0.2, 0.1]])
    surprise = model.see(x).extreme[0]
    assert model.score(x)[0] == pytest.approx((surprise[1] + surprise[2]) / 2.0)
    assert surprise[0] == pytest.approx(-np.log(0.1), abs=0.3)


def test_one_family_that_goes_wild_counts_no_more_than_its_share() -> None:
    model = _learned([1] * 4, [0, 0, 1, 1])
    wild = MIDDLE.copy()
    wild[0, :2] = 1e9
    both = np.full((1, 4), 1e9)
    assert model.score(wild)[0] == pytest.approx((FEATURE_CAP + model.see(MIDDLE).extreme[0, 2:].max()) / 2)
    assert model.score(both)[0] == FEATURE_CAP


def test_sides_say_which_end_is_suspicious() -> None:
    high, low, both = (_learned([side] * 4) for side in (1, -1, 0))
    above, below = MIDDLE + 2.0, MIDDLE - 2.0
    assert high.score(above)[0] == FEATURE_CAP and high.score(below)[0] == 0.0
    assert low.score(above)[0] == 0.0 and low.score(below)[0] == FEATURE_CAP
    assert both.score(above)[0] == pytest.approx(both.score(below)[0])


def test_a_family_without_values_leaves_the_mean() -> None:
    model = _learned([1] * 4, [0, 0, 1, 1])
    x = np.array([[np.nan, np.nan, 0.3, 0.9], [np.nan, 0.7, np.nan, np.nan], [np.nan] * 4])
    surprise = model.see(x).extreme
    scores = model.score(x)
    assert scores[0] == surprise[0, 3]
    assert scores[1] == surprise[1, 1]
    assert np.isnan(scores[2])


def test_it_goes_on_rising_far_outside() -> None:
    scores = _learned([1] * 4).score(np.linspace(1.0, 1.05, 20)[:, None].repeat(4, axis=1))
    assert (np.diff(scores) > 0.0).all()


def test_no_opinion_with_too_few_rows() -> None:
    model = Tail()
    x = np.random.default_rng(3).random((MINIMUM_ROWS, 4))
    model.learn(x[:-1])
    assert np.isnan(model.score(x)).all()
    model.learn(x[-1:])
    assert np.isfinite(model.score(x)).all()


def test_a_feature_never_seen_is_no_evidence() -> None:
    model = Tail()
    x = np.random.default_rng(4).random((500, 3))
    x[:, 2] = np.nan
    model.learn(x)
    seen = np.array([[0.5, 0.4, np.nan], [0.5, 0.4, 1e6]])
    scores = model.score(seen)
    assert scores[0] == scores[1]
