"""What a model's raw score is worth: how rarely benign traffic scores as high, at the same age.

A raw score rises or falls with an entity's age whoever it belongs to. A recogniser that knows how many
evaluation points there were takes a long session for an attack sooner, as most attacks are long; running
means of what hardly ever happens are 0 in short sessions and rest on more in long ones. Against benign
points of all ages together, most of which are young, an ordinary long session would be a surprise for all
its life, and a young attack none. So each age has usual scores of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.base import Arrays, IntArray, Matrix
from models.quantiles import Quantiles

OLDER = np.array([4, 13], dtype=np.int64)
"""Evaluation points of an entity from which it is of the next age: from some 20 and 60 distinct inputs on."""
AGES = len(OLDER) + 1
MINIMUM_ROWS = 256
"""Benign points of an age below which those of younger entities are taken in, age by age."""
FLOOR = 1e-3
"""Smallest tail scale, in the models' own units."""


def ages(points: IntArray) -> IntArray:
    """Age of each row [n], from 0, from the how many-th of its entity it is [n], from 1."""
    return np.searchsorted(OLDER, points, side="right")


class Calibration(NamedTuple):
    """Quantiles of benign raw scores by age."""

    usual: tuple[Quantiles, ...]

    @classmethod
    def fit(cls, raw: Matrix, points: IntArray) -> Calibration:
        """Of benign raw scores [n, models], n >= 1, by models that had not learned from these rows; points
        [n]: the how many-th of its entity each row is, from 1."""
        age = ages(points)
        return cls(tuple(Quantiles.fit(raw[_enough(age, one)], FLOOR) for one in range(AGES)))

    def surprise(self, raw: Matrix, points: IntArray, cap: float) -> Matrix:
        """-ln of the share of benign points of the same age that score as high [n, models], in [0, cap]; NaN
        stays NaN."""
        sides = np.ones(raw.shape[1], dtype=np.int64)
        age = ages(points)
        out = np.empty(raw.shape)
        for one, usual in enumerate(self.usual):
            rows = np.flatnonzero(age == one)
            if len(rows):
                out[rows] = usual.surprise(raw[rows], sides, cap).extreme
        return out

    def to_arrays(self) -> Arrays:
        """Every part [AGES, ...]."""
        parts = [usual.to_arrays() for usual in self.usual]
        return {name: np.stack([part[name] for part in parts]) for name in parts[0]}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Calibration:
        """The inverse of `to_arrays`."""
        return cls(
            tuple(
                Quantiles.from_arrays({name: part[one] for name, part in arrays.items()})
                for one in range(AGES)
            )
        )


def _enough(age: IntArray, one: int) -> IntArray:
    """Rows [k] of that age, and of younger and then all ages until they are enough."""
    for youngest in range(one, -1, -1):
        rows = np.flatnonzero((age >= youngest) & (age <= one))
        if len(rows) >= MINIMUM_ROWS:
            return rows
    return np.arange(len(age))
