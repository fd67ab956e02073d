"""HalfSpaceTrees is River's model, number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river import anomaly

from models.base import Matrix
from models.half_space_trees import HalfSpaceTrees


def _ranks(rows: int, features: int, seed: int) -> Matrix:
    return np.random.default_rng(seed).beta(2.0, 3.0, (rows, features))


@pytest.mark.parametrize(
    ("n_trees", "height", "window_size", "features", "learned"),
    [(15, 6, 250, 5, 700), (15, 6, 250, 27, 250), (3, 4, 20, 2, 333), (4, 8, 64, 1, 200)],
)
def test_scores_equal_rivers_exactly(
    n_trees: int, height: int, window_size: int, features: int, learned: int
) -> None:
    ours = HalfSpaceTrees(n_trees=n_trees, height=height, window_size=window_size, seed=3)
    river: Any = anomaly.HalfSpaceTrees(n_trees=n_trees, height=height, window_size=window_size, seed=3)
    x = _ranks(learned, features, seed=1)
    ours.learn(x)
    for row in x.tolist():
        river.learn_one(dict(enumerate(row)))
    seen = np.vstack([_ranks(150, features, seed=2), np.eye(features), np.full((1, features), 7.5)])
    expected = [river.score_one(dict(enumerate(row))) for row in seen.tolist()]
    assert ours.score(seen).tolist() == expected
    assert len(set(expected)) > 3


def test_no_opinion_until_the_first_window_is_full() -> None:
    model = HalfSpaceTrees(window_size=100)
    x = _ranks(100, 4, seed=5)
    model.learn(x[:99])
    assert np.isnan(model.score(x)).all()
    model.learn(x[99:])
    assert np.isfinite(model.score(x)).all()


def test_a_missing_feature_counts_as_the_middle() -> None:
    model = HalfSpaceTrees()
    x = _ranks(300, 4, seed=6)
    x[::3, 2] = np.nan
    filled = np.where(np.isnan(x), 0.5, x)
    model.learn(x)
    other = HalfSpaceTrees()
    other.learn(filled)
    assert np.array_equal(model.score(x), other.score(filled))


def test_it_forgets_what_left_its_windows() -> None:
    model = HalfSpaceTrees()
    low, high = _ranks(500, 4, seed=7) * 0.3, 1.0 - _ranks(500, 4, seed=8) * 0.3
    model.learn(low)
    assert model.score(high).mean() > model.score(low).mean() + 0.1
    model.learn(high)
    assert model.score(low).mean() > model.score(high).mean() + 0.1
