"""Distances to a block of points: right, and summed up in the same order everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.compiled import lean
from models.nearby import BLOCK, smallest_marked, square_distances


@lean
def _measure(points: Any, point: Any, numbers: int, begin: int, marks: Any, out: Any, least: Any) -> None:
    least[0] = square_distances(points, point, numbers, begin, out)
    least[1] = smallest_marked(out, marks, begin)


@pytest.mark.parametrize("numbers", [0, 1, 12, 31])
@pytest.mark.parametrize("begin", [0, BLOCK, 5])
def test_distances_are_summed_in_order_in_float32(numbers: int, begin: int) -> None:
    rng = np.random.default_rng(numbers + begin)
    points = rng.normal(size=(31, 3 * BLOCK)).astype(np.float32)
    point, out = rng.normal(size=31), np.full(3 * BLOCK, np.nan, dtype=np.float32)
    marks = (rng.random(3 * BLOCK) < 0.1).astype(np.int64)
    least = np.zeros(2, dtype=np.float32)
    _measure(points, point, numbers, begin, marks, out, least)
    expected = np.zeros(3 * BLOCK, dtype=np.float32)
    for j in range(numbers):
        expected = expected + (points[j] - np.float32(point[j])) ** 2
    own = slice(begin, begin + BLOCK)
    assert out[own].tolist() == expected[own].tolist()
    assert np.isnan(np.delete(out, np.r_[own])).all()
    assert least.tolist() == [expected[own].min(), expected[own][marks[own] > 0].min()]


def test_without_a_mark_nothing_is_the_smallest() -> None:
    none, out = np.zeros(BLOCK, dtype=np.int64), np.zeros(BLOCK, dtype=np.float32)
    least = np.zeros(2, dtype=np.float32)
    _measure(np.zeros((2, BLOCK), dtype=np.float32), np.ones(2), 2, 0, none, out, least)
    assert least.tolist() == [2.0, np.inf]
