"""Evaluation points that the recogniser is taught on: kept and read back, and averaged over their session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.collect import Points

NAN = float("nan")


@pytest.fixture
def points() -> Points:
    """Two sessions in turn, with two features; the second feature is unknown at first."""
    return Points(
        data_set="wine",
        features=np.array([[1.0, NAN], [10.0, NAN], [3.0, 4.0], [20.0, NAN], [5.0, 8.0]]),
        surprises=np.arange(10.0).reshape(5, 2),
        sessions=np.array([0, 1, 0, 1, 0]),
        queries=np.array([8, 8, 12, 12, 16]),
        family=["evasion", "benign", "evasion", "benign", "evasion"],
        kind=["zoo", "drift", "zoo", "drift", "zoo"],
        benign_sessions=7,
    )


def test_what_was_kept_is_what_is_read(tmp_path: Path, points: Points) -> None:
    points.save(tmp_path / "p.npz")
    again = Points.load(tmp_path / "p.npz")
    for name, value in vars(points).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(again, name), value)
        else:
            assert getattr(again, name) == value, name


def test_means_are_of_the_same_session_so_far(points: Points) -> None:
    expected = [[1.0, NAN], [10.0, NAN], [2.0, 4.0], [15.0, NAN], [3.0, 6.0]]
    np.testing.assert_array_equal(points.means(), expected)
