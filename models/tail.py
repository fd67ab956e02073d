"""A robust-quantile tail model: the mean surprise of a row's most surprising features.

Unlike trees, which cannot tell far outside from just outside, it goes on rising with the distance from
what was seen, so it is what makes a blatant attack score higher than the rarest benign session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Arrays, Matrix, Vector, Window
from models.compiled import jit
from models.quantiles import Quantiles

MINIMUM_ROWS = 64
FEATURE_CAP = 12.0
"""No single feature counts for more than e-12: one odd number alone must not decide."""
FLOOR = 0.02
"""Smallest tail scale: features are shares, cosines and logarithms, where 0.02 is little."""


@jit
def mean_of_largest(s: Any, k: int) -> Any:
    """Mean of the k largest non-NaN entries of each row of s [n, f]; missing ones count 0; NaN if all are."""
    n, f = s.shape
    out = np.empty(n)
    best = np.zeros(k)
    for i in range(n):
        best[:] = 0.0
        seen = False
        for j in range(f):
            v = s[i, j]
            if np.isnan(v):
                continue
            seen = True
            for m in range(k):
                if v > best[m]:
                    v, best[m] = best[m], v
        out[i] = best.sum() / k if seen else np.nan
    return out


class Tail:
    """Surprise of features against the quantiles of the newest `window` rows learned.

    `sides` [f] says for each feature whether high (+1), low (-1) or both (0) ends are suspicious; without
    it both are. `largest` features make the score.
    """

    name = "tail"

    def __init__(
        self, sides: npt.NDArray[np.int64] | None = None, largest: int = 5, window: int = 8192
    ) -> None:
        self._sides = sides
        self._largest = largest
        self._window = Window(window)
        self.quantiles: Quantiles | None = None

    def learn(self, x: Matrix) -> None:
        """Add rows x [n, f] and fit the quantiles anew."""
        rows = self._window.add(x)
        if len(rows) >= MINIMUM_ROWS:
            self.quantiles = Quantiles.fit(rows, FLOOR)

    def feature_surprise(self, x: Matrix) -> Matrix:
        """-ln tail probability of each feature [n, f]: what evidence is explained with."""
        if self.quantiles is None:
            return np.full(x.shape, np.nan)
        sides = self._sides if self._sides is not None else np.zeros(x.shape[1], dtype=np.int64)
        return self.quantiles.surprise(x, sides, FEATURE_CAP)

    def score(self, x: Matrix) -> Vector:
        """Mean of the largest feature surprises [n], in [0, FEATURE_CAP]; NaN before there is a fit."""
        return np.asarray(mean_of_largest(self.feature_surprise(x), self._largest), dtype=np.float64)

    def to_arrays(self) -> Arrays:
        """Quantiles and window."""
        if self.quantiles is None:
            return {"window": self._window.rows}
        return {**self.quantiles.to_arrays(), "window": self._window.rows}

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over quantiles and window."""
        self._window.load(arrays["window"])
        if "grid" in arrays:
            grid, edges, scales = (
                np.asarray(arrays[key], dtype=np.float64) for key in ("grid", "edges", "scales")
            )
            self.quantiles = Quantiles(grid, edges, scales)
