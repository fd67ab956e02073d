"""A robust-quantile tail model: how surprising a row is in each family of features, on average.

Features of one family move together (near steps make near neighbours), so only the most surprising one of
each family counts. Honest oddities are odd in one family, attacks in several at once.

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
from models.quantiles import Quantiles, Surprises

MINIMUM_ROWS = 64
FEATURE_CAP = 12.0
"""No single feature counts for more than e-12: one odd number alone must not decide."""
FLOOR = 0.02
"""Smallest tail scale: features are shares, cosines and logarithms, where 0.02 is little."""


@jit
def mean_of_family_maxima(s: Any, family: Any, count: int) -> Any:
    """Mean over families of the largest entry of each row of s [n, f]; family [f] in 0..count-1.

    A family without a value (NaN) leaves the mean; NaN when all are without.
    """
    n, f = s.shape
    out = np.empty(n)
    best = np.empty(count)
    for i in range(n):
        best[:] = -1.0
        for j in range(f):
            if not np.isnan(s[i, j]):
                best[family[j]] = max(best[family[j]], s[i, j])
        total = 0.0
        known = 0
        for g in range(count):
            if best[g] >= 0.0:
                total += best[g]
                known += 1
        out[i] = total / known if known else np.nan
    return out


class Tail:
    """Surprise of features against the quantiles of the newest `window` rows learned.

    `sides` [f] says for each feature whether high (+1), low (-1) or both (0) ends are suspicious; without
    it both are. `families` [f] numbers each feature's family from 0; without it each is its own.
    """

    name = "tail"

    def __init__(
        self,
        sides: npt.NDArray[np.int64] | None = None,
        families: npt.NDArray[np.int64] | None = None,
        window: int = 8192,
    ) -> None:
        self._sides = sides
        self._families = families
        self._window = Window(window)
        self.quantiles: Quantiles | None = None

    def learn(self, x: Matrix) -> None:
        """Add rows x [n, f] and fit the quantiles anew."""
        rows = self._window.add(x)
        if len(rows) >= MINIMUM_ROWS:
            self.quantiles = Quantiles.fit(rows, FLOOR)

    def see(self, x: Matrix) -> Surprises:
        """How surprising each feature is; all NaN before a fit."""
        if self.quantiles is None:
            nothing = np.full(x.shape, np.nan)
            return Surprises(nothing, nothing, nothing)
        sides = self._sides if self._sides is not None else np.zeros(x.shape[1], dtype=np.int64)
        return self.quantiles.surprise(x, sides, FEATURE_CAP)

    def mean(self, extreme: Matrix) -> Vector:
        """Mean over families of their largest surprise [n], in [0, FEATURE_CAP], from surprises [n, f]."""
        families = self._families if self._families is not None else np.arange(extreme.shape[1])
        return np.asarray(
            mean_of_family_maxima(extreme, families, int(families.max(initial=0)) + 1), dtype=np.float64
        )

    def score(self, x: Matrix) -> Vector:
        """`mean` of what rows x [n, f] show; NaN before a fit."""
        return self.mean(self.see(x).extreme)

    def to_arrays(self) -> Arrays:
        """Quantiles and window."""
        if self.quantiles is None:
            return {"window": self._window.rows}
        return {**self.quantiles.to_arrays(), "window": self._window.rows}

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over quantiles and window."""
        self._window.load(arrays["window"])
        if "grid" in arrays:
            self.quantiles = Quantiles.from_arrays(arrays)
