"""Raw scores are surprising against benign ones of the same age."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibration import AGES, MINIMUM_ROWS, OLDER, Calibration, ages
from models.ensemble import Ensemble

CAP = 25.0


def _benign(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores of two models that rise with age, whoever is judged; and the ages in points."""
    rng = np.random.default_rng(seed)
    points = rng.integers(1, 40, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.log(points)[:, None], points


def test_ages_begin_where_they_say() -> None:
    points = np.array([1, OLDER[0] - 1, OLDER[0], OLDER[1] - 1, OLDER[1], 10_000])
    np.testing.assert_array_equal(ages(points), [0, 0, 1, 1, 2, 2])


def test_benign_points_surprise_alike_at_every_age() -> None:
    raw, points = _benign(20_000, 1)
    usual = Calibration.fit(raw, points)
    again, older = _benign(20_000, 2)
    seen = usual.surprise(again, older, CAP)
    assert seen.min() >= 0.0 and seen.max() <= CAP
    for age in range(AGES):
        assert seen[ages(older) == age].mean() == pytest.approx(1.0, abs=0.08)


def test_what_is_usual_late_is_a_surprise_early() -> None:
    raw, points = _benign(20_000, 1)
    usual = Calibration.fit(raw, points)
    score = np.array([[3.0 * np.log(30), 3.0 * np.log(30)]])
    early, late = (usual.surprise(score, np.array([age]), CAP)[0, 0] for age in (2, 30))
    assert early > 5.0 and late < 1.5


def test_an_age_with_few_rows_borrows_from_younger_ones() -> None:
    raw, points = _benign(4 * MINIMUM_ROWS, 1)
    young = points < OLDER[0]
    few = Calibration.fit(np.vstack([raw[young]] * 8), np.concatenate([points[young]] * 8))
    assert all(
        np.array_equal(usual.grid, few.usual[0].grid) and np.array_equal(usual.edges, few.usual[0].edges)
        for usual in few.usual
    )


def test_one_row_and_unknown_scores_are_no_trouble() -> None:
    usual = Calibration.fit(np.array([[1.0, np.nan]]), np.array([50]))
    seen = usual.surprise(np.array([[1.0, 2.0], [np.nan, np.nan]]), np.array([1, 50]), CAP)
    assert np.isfinite(seen[0, 0]) and np.isnan(seen[0, 1]) and np.isnan(seen[1]).all()


def test_it_is_saved_whole() -> None:
    raw, points = _benign(2_000, 1)
    usual = Calibration.fit(raw, points)
    back = Calibration.from_arrays(usual.to_arrays())
    np.testing.assert_array_equal(back.surprise(raw, points, CAP), usual.surprise(raw, points, CAP))


def test_rows_are_judged_alike_in_any_company() -> None:
    rng = np.random.default_rng(3)
    ensemble = Ensemble()
    x = rng.normal(size=(4_000, 5))
    ensemble.fit(x)
    points = rng.integers(1, 60, 300)
    whole = ensemble.score(x[:300], points)
    alone = [ensemble.score(x[i : i + 1], points[i : i + 1])[0] for i in range(300)]
    np.testing.assert_array_equal(whole, alone)
