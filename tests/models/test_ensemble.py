"""The ensemble: its unit, its folds, and its silence while it knows too little."""

from __future__ import annotations

import numpy as np
import pytest

from models.base import Matrix
from models.ensemble import CAP, MINIMUM_ROWS, Ensemble


def _benign(rows: int, seed: int) -> Matrix:
    """Skewed, correlated features of very different sizes."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(rows, 1))
    x: Matrix = np.exp(rng.normal(size=(rows, 5)) + common) * np.array([1e-3, 1.0, 10.0, 1e3, 1e6])
    return x


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    model = Ensemble()
    model.learn(_benign(3000, seed=0))
    return model


def test_fresh_benign_rows_score_about_one(ensemble: Ensemble) -> None:
    assert ensemble.score(_benign(4000, seed=1)).mean() == pytest.approx(1.0, abs=0.1)


def test_the_share_of_benign_rows_above_a_score_falls_like_its_exponential(ensemble: Ensemble) -> None:
    scores = ensemble.score(_benign(8000, seed=2))
    for score in (1.0, 2.0, 3.0):
        assert (scores > score).mean() < 1.5 * np.exp(-score) + 0.01


def test_scores_rise_with_the_distance_and_are_capped(ensemble: Ensemble) -> None:
    rows = _benign(1, seed=3) * np.array([[1.0], [30.0], [300.0], [1e9]])
    scores = ensemble.score(rows)
    assert (np.diff(scores) >= 0.0).all()
    assert scores[2] > 4.0
    assert scores[3] <= CAP


def test_fit_returns_scores_by_models_that_had_not_seen_the_group() -> None:
    # One session repeats a far-off row a hundred times: who learned from it would call it usual.
    x = _benign(1100, seed=4)
    x[:100] = x[:100].mean(axis=0) * 40.0
    groups = np.concatenate([np.zeros(100), 1 + np.arange(1000) // 10]).astype(np.int64)
    model = Ensemble()
    scores = model.fit(x, groups)
    assert scores.shape == (1100,)
    assert scores[:100].mean() > 2.0 * scores[100:].mean()


def test_too_few_rows_teach_nothing() -> None:
    model = Ensemble()
    assert np.isnan(model.fit(_benign(MINIMUM_ROWS - 1, seed=5))).all()
    assert np.isnan(model.score(_benign(5, seed=6))).all()


def test_a_feature_never_seen_is_no_evidence() -> None:
    x = _benign(800, seed=7)
    x[:, 3] = np.nan
    model = Ensemble()
    model.learn(x)
    seen = _benign(50, seed=8)
    without = seen.copy()
    without[:, 3] = np.nan
    assert np.array_equal(model.score(seen), model.score(without))
