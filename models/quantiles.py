"""Benign quantiles of many columns, and how surprising a value is against them, also far outside.

Inside the observed range the surprise is the empirical tail probability; beyond the 98th percentile the
tail is continued as an exponential whose scale is the mean excess there, the maximum-likelihood fit
(Balkema, de Haan 1974 and Pickands 1975 with shape 0), kept from collapsing on columns that hardly vary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.base import Matrix, Vector
from models.compiled import inlined, jit, part

GRID = 129
"""Quantiles kept per column: steps of 1/128."""
TAIL = 0.02
"""Share of the benign values that is regarded as the tail."""
SMALLEST_SCALE = 0.02
"""Tail scales are at least this share of the column's spread; see `fit`."""


@inlined
def _below(grid: Any, v: float) -> int:
    """How many of the sorted grid are below v. Halving without a branch, which nothing could foresee."""
    low, left = 0, len(grid)
    while left > 1:
        half = left // 2
        low += half if grid[low + half - 1] < v else 0
        left -= half
    return int(low + (grid[low] < v))


@inlined
def _upto(grid: Any, v: float) -> int:
    """How many of the sorted grid are v or below."""
    low, left = 0, len(grid)
    while left > 1:
        half = left // 2
        low += half if grid[low + half - 1] <= v else 0
        left -= half
    return int(low + (grid[low] <= v))


@inlined
def _rank(v: float, grid: Any) -> float:
    """Rank in [0, 1] of v in the quantiles grid [GRID]; NaN for NaN.

    Ties take the middle of the quantiles that share the value, so a column of one value ranks 0.5.
    A column of which no value is known (NaN in the grid) has no ranks: NaN.
    """
    if np.isnan(v) or np.isnan(grid[0]):
        return np.nan
    last = len(grid) - 1
    low = _below(grid, v)
    if low > last:
        return 1.0
    if grid[low] == v:
        high = _upto(grid, v)
        return float((low + high - 1) / 2.0 / last)
    if low == 0:
        return 0.0
    below, above = grid[low - 1], grid[low]
    return float((low - 1 + (v - below) / (above - below)) / last)


@inlined
def _tail(excess: float, scale: float, share: float) -> float:
    """Surprise of a value that lies `excess` beyond the edge of a tail, `share` of benign ones beyond it."""
    if excess > 0.0:
        return float(excess / scale - np.log(TAIL))
    return float(-np.log(max(share, TAIL)))


@inlined
def _clip(s: float, cap: float) -> float:
    return min(max(s, 0.0), cap)


@jit
def surprise(x: Any, grid: Any, edges: Any, scales: Any, sides: Any, cap: float) -> Any:
    """How surprising each x [n, f] is: three arrays [n, f], in which NaN stays NaN.

    - ranks;
    - -ln of the benign probability of something at least as extreme, in [0, cap];
    - the same by direction, whatever side is suspicious, in [-cap, cap]: positive where x is high,
      negative where it is low, 0 in the middle.

    grid [f, GRID]; edges [f, 2] the 2nd and 98th percentiles; scales [f, 2] the scales of the
    lower and upper tail; sides [f]: +1 high values are suspicious, -1 low values, 0 both (the
    probability then doubles, the price of looking twice).
    """
    rank, extreme, signed = np.empty(x.shape), np.empty(x.shape), np.empty(x.shape)
    for j in range(x.shape[1]):
        for i in range(x.shape[0]):
            v = x[i, j]
            u = _rank(v, part(grid, j))
            rank[i, j] = u
            if np.isnan(u):
                extreme[i, j] = np.nan
                signed[i, j] = np.nan
                continue
            high = _tail(v - edges[j, 1], scales[j, 1], 1.0 - u)
            low = _tail(edges[j, 0] - v, scales[j, 0], u)
            if sides[j] > 0:
                extreme[i, j] = _clip(high, cap)
            elif sides[j] < 0:
                extreme[i, j] = _clip(low, cap)
            else:
                extreme[i, j] = _clip(max(high, low) - np.log(2.0), cap)
            signed[i, j] = _clip(high, cap) - _clip(low, cap)
    return rank, extreme, signed


class Surprises(NamedTuple):
    """How surprising each feature of n rows is against the benign ones, each [n, f]; NaN: unknown.

    ranks in [0, 1]; extreme: -ln tail probability on the suspicious side, which evidence is explained with;
    signed: the same whatever side is suspicious, positive where a feature is high, negative where it is low,
    0 in the middle. The same meaning in every deployment.
    """

    ranks: Matrix
    extreme: Matrix
    signed: Matrix


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

    def surprise(self, x: Matrix, sides: npt.NDArray[np.int64], cap: float) -> Surprises:
        """What x [n, f] are against the benign ones; `sides` and `cap` as in the kernel."""
        return Surprises(*surprise(x, self.grid, self.edges, self.scales, sides, cap))

    def at(self, share: float) -> Vector:
        """The columns' quantiles [f] at one share in [0, 1], to the grid's resolution."""
        return np.asarray(self.grid[:, round(share * (GRID - 1))], dtype=np.float64)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, for a profile file."""
        return {"grid": self.grid, "edges": self.edges, "scales": self.scales}
