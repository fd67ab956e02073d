"""Scoring many rows through a forest of binary trees that is laid out as flat arrays.

Half-space trees, isolation forests and boosted trees are learned by their libraries and only evaluated
here: that costs parts of a microsecond a row where the libraries' own calls cost hundreds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models import masks
from models.compiled import inlined, jit, part

_FIRST, _TWO = np.uint64(0), np.uint64(2)
NEUTRAL = 0.5
"""Stands for a missing feature: the middle of the ranks, so that it pulls to neither side."""


class Walked(NamedTuple):
    """Trees in the order in which they are walked: column [trees, nodes] that a node looks at, and split
    [trees, nodes]; child [trees, 2 nodes]: where to go from each up to the split, and beyond it, a leaf to
    itself; value [trees, nodes] of leaves; deepest [trees] steps to the farthest leaf."""

    column: npt.NDArray[np.uint16]
    split: npt.NDArray[np.float64]
    child: npt.NDArray[np.uint16]
    value: npt.NDArray[np.float64]
    deepest: npt.NDArray[np.int64]


class Forest:
    """Trees of one kind, laid out: those with at most 64 leaves each as masks, others to be walked."""

    def __init__(self, feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> None:
        """From trees as they are kept, each array [trees, nodes]: feature -1 marks a leaf, children come
        after their parent. Raises ValueError for trees of more than 65,535 nodes."""
        if feature.shape[1] >= 2**16:
            raise ValueError(f"trees of {feature.shape[1]} nodes")
        most = int((feature < 0).sum(axis=1).max(initial=0))
        lay_out = masks.lay_out if most <= masks.MOST_LEAVES else _lay_out
        self._trees: Walked | masks.Masks = lay_out(feature, threshold, left, right, value)

    def sum_of_leaf_values(self, x: npt.NDArray[np.float64], missing: float) -> npt.NDArray[np.float64]:
        """Sum over trees of the value of the leaf that each row of x [n, f] reaches: [n]. A row goes left
        where it is not beyond the split; NaN counts as `missing`."""
        if isinstance(self._trees, Walked):
            return np.asarray(_walk(x, self._trees, missing), dtype=np.float64)
        return np.asarray(masks.sum_of_leaf_values(x, self._trees, missing), dtype=np.float64)


def _lay_out(feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> Walked:
    trees, nodes = feature.shape
    leaf, own, every = feature < 0, np.arange(nodes), np.arange(trees)
    child = np.stack([np.where(leaf, own, left), np.where(leaf, own, right)], axis=2)
    depth = np.zeros((trees, nodes), dtype=np.int64)
    for k in range(nodes):
        inner = every[~leaf[:, k]]
        for side in (0, 1):
            depth[inner, child[inner, k, side]] = depth[inner, k] + 1
    return Walked(
        np.where(leaf, 0, feature).astype(np.uint16),
        np.array(threshold, dtype=np.float64),
        child.reshape(trees, 2 * nodes).astype(np.uint16),
        np.array(value, dtype=np.float64),
        depth.max(axis=1, initial=0),
    )


@inlined
def _next(node: Any, row: Any, column: Any, split: Any, child: Any) -> Any:
    """The node after this one."""
    return np.uint64(child[_TWO * node + np.uint64(row[np.uint64(column[node])] > split[node])])


@jit
def _walk(x: Any, forest: Walked, missing: float) -> Any:
    n = x.shape[0]
    out = np.zeros(n)
    rows = np.empty(x.shape)
    for i in range(n):
        for j in range(x.shape[1]):
            rows[i, j] = missing if np.isnan(x[i, j]) else x[i, j]
    # Every row takes as many steps as the tree is deep, staying where it is at a leaf, and the next node is
    # looked up rather than branched to. Eight rows walk at once: while one waits for a look-up, others go on.
    for t in range(forest.column.shape[0]):
        column, split, child = part(forest.column, t), part(forest.split, t), part(forest.child, t)
        value, deepest = part(forest.value, t), forest.deepest[t]
        for i in range(0, n - 7, 8):
            p, q, r, s = part(rows, i), part(rows, i + 1), part(rows, i + 2), part(rows, i + 3)
            u, v, w, y = part(rows, i + 4), part(rows, i + 5), part(rows, i + 6), part(rows, i + 7)
            a, b, c, d, e, f, g, h = _FIRST, _FIRST, _FIRST, _FIRST, _FIRST, _FIRST, _FIRST, _FIRST
            for _ in range(deepest):
                a, b = _next(a, p, column, split, child), _next(b, q, column, split, child)
                c, d = _next(c, r, column, split, child), _next(d, s, column, split, child)
                e, f = _next(e, u, column, split, child), _next(f, v, column, split, child)
                g, h = _next(g, w, column, split, child), _next(h, y, column, split, child)
            for k, leaf in enumerate((a, b, c, d, e, f, g, h)):
                out[i + k] += value[leaf]
        for i in range(n - n % 8, n):
            a = _FIRST
            for _ in range(deepest):
                a = _next(a, part(rows, i), column, split, child)
            out[i] += value[a]
    return out


def average_path_length(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean depth of an unsuccessful search in a binary tree of n samples, c(n) of Liu et al. 2008."""
    n = np.asarray(samples, dtype=np.float64)
    out = np.zeros_like(n)
    out[n == 2] = 1.0
    big = n > 2
    out[big] = 2.0 * (np.log(n[big] - 1.0) + np.euler_gamma) - 2.0 * (n[big] - 1.0) / n[big]
    return out
