"""Scoring many rows through a forest of binary trees that is laid out as flat arrays.

Both half-space trees and isolation forests are learned by their libraries and only walked here: a walk
over arrays costs microseconds a row where the libraries' own calls cost hundreds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.compiled import jit

_FIRST, _TWO = np.uint64(0), np.uint64(2)
NEUTRAL = 0.5
"""Stands for a missing feature: the middle of the ranks, so that it pulls to neither side."""


@jit
def sum_of_leaf_values(x: Any, feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> Any:
    """Sum over trees of the value of the leaf that each row reaches.

    x [n, f] float64; feature, left, right [trees, nodes] int32 (feature -1 marks a leaf);
    threshold, value [trees, nodes] float64. Children come after their parent. A row goes left where
    x <= threshold. Returns [n].
    """
    n, nodes = x.shape[0], feature.shape[1]
    out = np.zeros(n)
    rows = np.empty(x.shape)
    for i in range(n):
        for j in range(x.shape[1]):
            rows[i, j] = NEUTRAL if np.isnan(x[i, j]) else x[i, j]
    # Every row takes as many steps as the tree is deep, staying where it is at a leaf, and the next node is
    # looked up rather than branched to. Eight rows walk at once: while one waits for a look-up, others go on.
    column = np.zeros(nodes, dtype=np.uint64)
    split = np.zeros(nodes)
    child = np.zeros(2 * nodes, dtype=np.uint64)
    depth = np.zeros(nodes, dtype=np.int64)
    for t in range(feature.shape[0]):
        deepest = 0
        depth[0] = 0
        for k in range(nodes):
            split[k] = threshold[t, k]
            if feature[t, k] >= 0:
                column[k] = feature[t, k]
                child[2 * k], child[2 * k + 1] = left[t, k], right[t, k]
                depth[left[t, k]] = depth[k] + 1
                depth[right[t, k]] = depth[k] + 1
                deepest = max(deepest, depth[k] + 1)
            else:
                column[k] = 0
                child[2 * k], child[2 * k + 1] = k, k
        for i in range(0, n - 7, 8):
            a, b, c, d, e, f, g, h = _FIRST, _FIRST, _FIRST, _FIRST, _FIRST, _FIRST, _FIRST, _FIRST
            for _ in range(deepest):
                a = child[_TWO * a + np.uint64(rows[i, column[a]] > split[a])]
                b = child[_TWO * b + np.uint64(rows[i + 1, column[b]] > split[b])]
                c = child[_TWO * c + np.uint64(rows[i + 2, column[c]] > split[c])]
                d = child[_TWO * d + np.uint64(rows[i + 3, column[d]] > split[d])]
                e = child[_TWO * e + np.uint64(rows[i + 4, column[e]] > split[e])]
                f = child[_TWO * f + np.uint64(rows[i + 5, column[f]] > split[f])]
                g = child[_TWO * g + np.uint64(rows[i + 6, column[g]] > split[g])]
                h = child[_TWO * h + np.uint64(rows[i + 7, column[h]] > split[h])]
            for k, leaf in enumerate((a, b, c, d, e, f, g, h)):
                out[i + k] += value[t, leaf]
        for i in range(n - n % 8, n):
            a = _FIRST
            for _ in range(deepest):
                a = child[_TWO * a + np.uint64(rows[i, column[a]] > split[a])]
            out[i] += value[t, a]
    return out


@jit
def half_space_mass(x: Any, feature: Any, threshold: Any, mass: Any, height: int, size_limit: float) -> Any:
    """Sum over trees of mass * 2**depth at the node where each row's walk ends (Tan et al. 2011).

    Trees are complete and stored in heap order: children of node k are 2k + 1 (x < threshold) and 2k + 2.
    The walk ends at the leaf, or earlier at a node whose mass is below `size_limit`; all masses on the
    way count, as in River. x [n, f]; feature [trees, nodes] int32; threshold, mass [trees, nodes].
    """
    out = np.zeros(x.shape[0])
    for t in range(feature.shape[0]):
        for i in range(x.shape[0]):
            node = 0
            power = 1.0
            total = 0.0
            ended = False
            for _ in range(height):
                m = mass[t, node]
                total += m * power
                if m < size_limit:
                    ended = True
                    break
                v = x[i, feature[t, node]]
                if np.isnan(v):
                    v = NEUTRAL
                node = 2 * node + 1 if v < threshold[t, node] else 2 * node + 2
                power *= 2.0
            if not ended:
                total += mass[t, node] * power
            out[i] += total
    return out


def average_path_length(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean depth of an unsuccessful search in a binary tree of n samples, c(n) of Liu et al. 2008."""
    n = np.asarray(samples, dtype=np.float64)
    out = np.zeros_like(n)
    out[n == 2] = 1.0
    big = n > 2
    out[big] = 2.0 * (np.log(n[big] - 1.0) + np.euler_gamma) - 2.0 * (n[big] - 1.0) / n[big]
    return out
