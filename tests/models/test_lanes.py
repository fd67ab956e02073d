"""Sums of eight lanes: right, and always in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.compiled import lean
from models.lanes import LANES, largest, product, square_distance, total

Numbers = npt.NDArray[Any]


@lean
def _sums(a: Any, b: Any, unit: Any, out: Any) -> None:
    out[0] = total(a)
    out[1] = product(a, b)
    out[2] = square_distance(a, b, unit)
    out[3] = largest(b)


def folded(terms: npt.NDArray[np.float64]) -> float:
    """The sum in the order that is promised."""
    whole = len(terms) // LANES * LANES
    lanes = np.zeros(LANES)
    for row in terms[:whole].reshape(-1, LANES):
        lanes = lanes + row
    while len(lanes) > 1:
        lanes = lanes[::2] + lanes[1::2]
    rest = 0.0
    for term in terms[whole:].tolist():
        rest += term
    return float(lanes[0] + rest)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16, np.int8])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 63, 64, 100])
def test_sums_are_those_of_the_lanes_to_the_bit(n: int, kind: type[np.generic]) -> None:
    rng = np.random.default_rng(n)
    a = rng.normal(size=n) * 10.0 ** rng.integers(-8, 8, n)
    b: Numbers = (rng.normal(size=n) * 40).astype(kind)
    wide, unit, out = b.astype(np.float64), np.float32(0.37), np.empty(4)
    _sums(a, b, unit, out)
    distances = (a - float(unit) * wide) ** 2
    assert out[:3].tolist() == [folded(a), folded(a * wide), folded(distances)]
    assert out[3] == np.abs(wide).max(initial=0.0)
    assert out[2] == pytest.approx(distances.sum())
