"""Benign quantiles of many columns, and how surprising a value is against them, also far outside.

Inside the observed range the surprise is the empirical tail probability; beyond the 98th percentile the
tail is continued as an exponential whose scale is the mean excess there, the maximum-likelihood fit
(Balkema, de Haan 1974 and Pickands 1975 with shape 0), kept from collapsing on columns that hardly vary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Matrix, Vector
from models.compiled import jit

GRID = 129
"""Quantiles kept per column: steps of 1/128."""
TAIL = 0.02
"""Share of the benign values that is regarded as the tail."""
SMALLEST_SCALE = 0.02
"""Tail scales are at least this share of the column's spread; see `fit`."""


@jit
def ranks(x: Any, grid: Any) -> Any:
    """Rank in [0, 1] of each x [n, f] in its column's quantile grid [f, GRID]; NaN stays NaN.

    Ties take the middle of the quantiles that share the value, so a column of one value ranks 0.5.
    A column of which no value is known (NaN in the grid) has no ranks: NaN.
    """
    n, f = x.shape
    last = grid.shape[1] - 1
    out = np.empty((n, f))
    for j in range(f):
        for i in range(n):
            v = x[i, j]
            if np.isnan(v) or np.isnan(grid[j, 0]):
                out[i, j] = np.nan
                continue
            low = np.searchsorted(grid[j], v, side="left")
            high = np.searchsorted(grid[j], v, side="right")
            if high > low:
                out[i, j] = (low + high - 1) / 2.0 / last
            elif low == 0:
                out[i, j] = 0.0
            elif low > last:
                out[i, j] = 1.0
            else:
                below, above = grid[j, low - 1], grid[j, low]
                out[i, j] = (low - 1 + (v - below) / (above - below)) / last
    return out


@jit
def _tail(excess: float, scale: float, share: float) -> float:
    """Surprise of a value that lies `excess` beyond the edge of a tail, `share` of benign ones beyond it."""
    if excess > 0.0:
        return float(excess / scale - np.log(TAIL))
    return float(-np.log(max(share, TAIL)))


@jit
def surprise(x: Any, grid: Any, edges: Any, scales: Any, sides: Any, cap: float) -> Any:
    """-ln of the benign probability of something at least as extreme, in [0, cap]; NaN stays NaN.

    x [n, f]; grid [f, GRID]; edges [f, 2] the 2nd and 98th percentiles; scales [f, 2] the scales of the
    lower and upper tail; sides [f]: +1 high values are suspicious, -1 low values, 0 both (the
    probability then doubles, the price of looking twice).
    """
    n, f = x.shape
    u = ranks(x, grid)
    out = np.empty((n, f))
    for j in range(f):
        for i in range(n):
            v = x[i, j]
            if np.isnan(u[i, j]):
                out[i, j] = np.nan
                continue
            high = _tail(v - edges[j, 1], scales[j, 1], 1.0 - u[i, j])
            low = _tail(edges[j, 0] - v, scales[j, 0], u[i, j])
            if sides[j] > 0:
                s = high
            elif sides[j] < 0:
                s = low
            else:
                s = max(high, low) - np.log(2.0)
            out[i, j] = min(max(s, 0.0), cap)
    return out


class Quantiles:
    """Quantile grid and tails of f columns, fitted on benign rows."""

    def __init__(self, grid: Matrix, edges: Matrix, scales: Matrix) -> None:
        self.grid, self.edges, self.scales = grid, edges, scales

    @classmethod
    def fit(cls, x: Matrix, floor: float = 0.0) -> Quantiles:
        """Fit on benign x [n, f]. `floor` is a smallest tail scale in the columns' own unit.

        A column that is (almost) constant has no tail to measure; its scale is then a share of its
        spread, or the floor, so that the first value ever off it does not count as certainty. A column
        without any value stays unknown: all NaN, so that nobody takes its first value for an anomaly.
        """
        f = x.shape[1]
        grid, edges, scales = np.full((f, GRID), np.nan), np.full((f, 2), np.nan), np.full((f, 2), np.nan)
        for j in range(f):
            column = np.sort(x[~np.isnan(x[:, j]), j])
            if not len(column):
                continue
            grid[j] = np.quantile(column, np.linspace(0.0, 1.0, GRID))
            edges[j] = np.quantile(column, (TAIL, 1.0 - TAIL))
            least = max(SMALLEST_SCALE * float(column[-1] - column[0]), floor, 1e-12)
            above = column[column > edges[j, 1]] - edges[j, 1]
            below = edges[j, 0] - column[column < edges[j, 0]]
            scales[j, 0] = max(float(below.mean()) if len(below) else 0.0, least)
            scales[j, 1] = max(float(above.mean()) if len(above) else 0.0, least)
        return cls(grid, edges, scales)

    def ranks(self, x: Matrix) -> Matrix:
        """Ranks in [0, 1] of x [n, f]; NaN stays NaN."""
        return np.asarray(ranks(x, self.grid), dtype=np.float64)

    def surprise(self, x: Matrix, sides: npt.NDArray[np.int64], cap: float) -> Matrix:
        """-ln tail probability [n, f], in [0, cap]; NaN stays NaN. `sides` as in the kernel."""
        return np.asarray(surprise(x, self.grid, self.edges, self.scales, sides, cap), dtype=np.float64)

    def at(self, share: float) -> Vector:
        """The columns' quantiles [f] at one share in [0, 1], to the grid's resolution."""
        return np.asarray(self.grid[:, round(share * (GRID - 1))], dtype=np.float64)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, for a profile file."""
        return {"grid": self.grid, "edges": self.edges, "scales": self.scales}
