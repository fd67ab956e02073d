"""The interface of an anomaly model.

A model sees only feature matrices: x [n, f] float64, one row an evaluation point of one entity, NaN where a
feature has no value. Scores are high where a row is anomalous. A model that has learned too little has no
opinion and says NaN, which is not the same as "normal". Callers score before they learn.

State goes to and comes from named arrays, never pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[np.generic]]
"""What is saved, by name."""


class Model(Protocol):
    """An online anomaly model in many-row form."""

    @property
    def name(self) -> str:
        """Short name, the key of its state in a saved profile."""

    def learn(self, x: Matrix) -> None:
        """Learn from the rows of x [n, f] in order. Memory stays bounded however many come."""

    def score(self, x: Matrix) -> Vector:
        """Anomaly score of each row [n], high = anomalous, NaN = no opinion. Changes nothing.

        The score of a row does not depend on the other rows of the call.
        """

    def to_arrays(self) -> Arrays:
        """The whole state as arrays."""

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state from `to_arrays` of a model made with the same parameters."""


class Window:
    """The newest `size` rows learned, for models that are refitted rather than updated."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: Matrix = np.empty((0, 0))

    def add(self, x: Matrix) -> Matrix:
        """Append rows, drop the oldest beyond the bound, and return what is held [m, f]."""
        rows = x if self._rows.size == 0 else np.vstack([self._rows, x])
        self._rows = np.ascontiguousarray(rows[-self.size :], dtype=np.float64).copy()
        return self._rows

    @property
    def rows(self) -> Matrix:
        """What is held [m, f]."""
        return self._rows

    def load(self, rows: npt.NDArray[np.generic]) -> None:
        """Take over saved rows."""
        self._rows = np.asarray(rows, dtype=np.float64)


def under(arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> Arrays:
    """Those arrays whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
