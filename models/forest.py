"""Scoring many rows through a forest of binary trees that is laid out as flat arrays.

Both half-space trees and isolation forests are learned by their libraries and only walked here: a walk
over arrays costs microseconds a row where the libraries' own calls cost hundreds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.compiled import jit

NEUTRAL = 0.5
"""Stands for a missing feature: the middle of the ranks, so that it pulls to neither side."""


@jit
def sum_of_leaf_values(x: Any, feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> Any:
    """Sum over trees of the value of the leaf that each row reaches.

    x [n, f] float64; feature, left, right [trees, nodes] int32 (feature -1 marks a leaf);
    threshold, value [trees, nodes] float64. A row goes left where x <= threshold. Returns [n].
    """
    out = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        total = 0.0
        for t in range(feature.shape[0]):
            node = 0
            while feature[t, node] >= 0:
                v = x[i, feature[t, node]]
                if np.isnan(v):
                    v = NEUTRAL
                node = left[t, node] if v <= threshold[t, node] else right[t, node]
            total += value[t, node]
        out[i] = total
    return out


@jit
def half_space_mass(x: Any, feature: Any, threshold: Any, mass: Any, height: int, size_limit: float) -> Any:
    """Sum over trees of mass * 2**depth at the node where each row's walk ends (Tan et al. 2011).

    Trees are complete and stored in heap order: children of node k are 2k + 1 (x < threshold) and 2k + 2.
    The walk ends at the leaf, or earlier at a node whose mass is below `size_limit`; all masses on the
    way count, as in River. x [n, f]; feature [trees, nodes] int32; threshold, mass [trees, nodes].
    """
    out = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        total = 0.0
        for t in range(feature.shape[0]):
            node = 0
            power = 1.0
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
        out[i] = total
    return out


def average_path_length(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean depth of an unsuccessful search in a binary tree of n samples, c(n) of Liu et al. 2008."""
    n = np.asarray(samples, dtype=np.float64)
    out = np.zeros_like(n)
    out[n == 2] = 1.0
    big = n > 2
    out[big] = 2.0 * (np.log(n[big] - 1.0) + np.euler_gamma) - 2.0 * (n[big] - 1.0) / n[big]
    return out
