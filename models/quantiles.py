"""Benign quantiles of many columns, and how surprising a value is against them, also far outside.

Inside the observed range the surprise is the empirical tail probability; beyond the 98th percentile the
tail is continued as an exponential whose scale is the mean excess there, the maximum-likelihood fit
(Balkema, de Haan 1974 and Pickands 1975 with shape 0), kept from collapsing on columns that hardly vary.
"""

from __future__ import annotations

from collections.abc import Mapping
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
ROWS = 64
"""Rows that are looked at together, column by column: their values stay within reach."""
_NONE, _ONE = np.uint64(0), np.uint64(1)
_SHIFTS = tuple(np.uint64(shift) for shift in (6, 5, 4, 3, 2, 1, 0, 0, 0))
"""They add up to GRID."""


@inlined
def _more(grid: Any, low: Any, shift: Any, v: float) -> Any:
    """One step of a search for how many of the sorted grid are below v: `low` are, 2**shift more may be."""
    return low + (np.uint64(grid[low + (_ONE << shift) - _ONE] < v) << shift)


@jit
def _find_below(grid: Any, values: Any, below: Any) -> None:
    """How many of the sorted grid [GRID] are below each of the values [n]; n is a multiple of 4.

    Halving without a branch, which nothing could foresee; four values at once, so that while one waits for
    what it looks up, others go on.
    """
    for i in range(0, values.shape[0], 4):
        p, q, r, s = values[i], values[i + 1], values[i + 2], values[i + 3]
        a, b, c, d = _NONE, _NONE, _NONE, _NONE
        for shift in _SHIFTS:
            a, b = _more(grid, a, shift, p), _more(grid, b, shift, q)
            c, d = _more(grid, c, shift, r), _more(grid, d, shift, s)
        below[i], below[i + 1], below[i + 2], below[i + 3] = a, b, c, d


@inlined
def _rank(v: float, low: Any, grid: Any, middles: Any) -> float:
    """Rank in [0, 1] of v, which `low` of the quantiles grid [GRID] lie below; NaN for NaN.

    Ties take the middle of the quantiles that share the value, so a column of one value ranks 0.5.
    """
    last = grid.shape[0] - 1
    here, before = min(low, np.uint64(last)), max(low, _ONE) - _ONE
    under, above = grid[before], grid[here]
    between = (np.float64(before) + (v - under) / (above - under)) / last
    inside = between if low > _NONE else 0.0
    rank = middles[here] if above == v else inside
    rank = rank if low <= np.uint64(last) else 1.0
    return float(np.nan if np.isnan(v) else rank)


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
def surprise(x: Any, grid: Any, middles: Any, edges: Any, scales: Any, sides: Any, cap: float) -> Any:
    """How surprising each x [n, f] is: three arrays [n, f], in which NaN stays NaN.

    - ranks;
    - -ln of the benign probability of something at least as extreme, in [0, cap];
    - the same by direction, whatever side is suspicious, in [-cap, cap]: positive where x is high,
      negative where it is low, 0 in the middle.

    grid [f, GRID]; middles [f, GRID]: the rank of what equals a quantile; edges [f, 2] the 2nd and 98th
    percentiles; scales [f, 2] the scales of the
    lower and upper tail; sides [f]: +1 high values are suspicious, -1 low values, 0 both (the
    probability then doubles, the price of looking twice). A column of which no value is known (NaN in the
    grid) has no ranks: NaN.
    """
    n = x.shape[0]
    rank, extreme, signed = np.empty(x.shape), np.empty(x.shape), np.empty(x.shape)
    values, below = np.zeros(ROWS), np.empty(ROWS, dtype=np.uint64)
    for first in range(0, n, ROWS):
        rows = min(ROWS, n - first)
        filled = (rows + 3) // 4 * 4
        for j in range(x.shape[1]):
            for k in range(rows):
                values[k] = x[first + k, j]
            own, middle = part(grid, j), part(middles, j)
            known = not np.isnan(own[0])
            if known:
                _find_below(own, values[:filled], below)
            for k in range(rows):
                i, v = first + k, values[k]
                u = _rank(v, below[k], own, middle) if known else np.nan
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
        upto = [np.searchsorted(own, own, side=side) for own in grid for side in ("left", "right")]
        low, high = np.array(upto, dtype=np.int64).reshape(len(grid), 2, GRID).transpose(1, 0, 2)
        self._middles: Matrix = (low + high - 1) / 2.0 / (GRID - 1)

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
        return Surprises(*surprise(x, self.grid, self._middles, self.edges, self.scales, sides, cap))

    def at(self, share: float) -> Vector:
        """The columns' quantiles [f] at one share in [0, 1], to the grid's resolution."""
        return np.asarray(self.grid[:, round(share * (GRID - 1))], dtype=np.float64)

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything, for a profile file."""
        return {"grid": self.grid, "edges": self.edges, "scales": self.scales}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Quantiles:
        """The inverse of `to_arrays`; what else is among the arrays is left."""
        grid, edges, scales = (
            np.asarray(arrays[name], dtype=np.float64) for name in ("grid", "edges", "scales")
        )
        return cls(grid, edges, scales)
