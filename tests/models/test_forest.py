"""Forests reach the leaf that a walk from the root reaches, whichever way they are laid out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.forest import Forest
from models.masks import MOST_LEAVES

FEATURES = 5
Trees = dict[str, npt.NDArray[Any]]


def random_trees(trees: int, leaves: int, seed: int) -> Trees:
    """Trees of `leaves` leaves each, or of one only, grown at random leaves."""
    rng = np.random.default_rng(seed)
    shape = (trees, 2 * leaves - 1)
    found: Trees = {name: np.zeros(shape, dtype=np.int32) for name in ("left", "right")}
    found["feature"] = np.full(shape, -1, dtype=np.int32)
    found["threshold"], found["value"] = rng.integers(-3, 4, shape) / 2.0, rng.normal(size=shape)
    for t in range(1, trees):
        for child in range(1, shape[1], 2):
            node = int(rng.choice(np.flatnonzero(found["feature"][t, :child] < 0)))
            found["feature"][t, node] = rng.integers(FEATURES)
            found["left"][t, node], found["right"][t, node] = child, child + 1
    return found


def walked(trees: Trees, row: list[float], missing: float) -> float:
    total = 0.0
    for t in range(len(trees["feature"])):
        node = 0
        while trees["feature"][t, node] >= 0:
            x = row[trees["feature"][t, node]]
            beyond = (missing if np.isnan(x) else x) > trees["threshold"][t, node]
            node = int(trees["right" if beyond else "left"][t, node])
        total += float(trees["value"][t, node])
    return total


@pytest.mark.parametrize("leaves", [2, 12, MOST_LEAVES, MOST_LEAVES + 1])
@pytest.mark.parametrize("rows", [1, 7, 64, 65, 200])
def test_sums_are_those_of_a_walk_to_the_bit(leaves: int, rows: int) -> None:
    trees = random_trees(9, leaves, seed=leaves)
    x = np.random.default_rng(rows).integers(-4, 5, (rows, FEATURES)) / 2.0
    x[::3, 1] = np.nan
    found = Forest(**trees).sum_of_leaf_values(x, missing=0.5)
    assert found.tolist() == [walked(trees, row, 0.5) for row in x.tolist()]
    assert rows == 1 or len(set(found.tolist())) > 1
