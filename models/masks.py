"""Small trees without walking: which leaves each comparison rules out, as bits of a word.

Reference: Lucchese et al., "QuickScorer", SIGIR 2015. Of a tree's leaves, numbered from the left, a row that
lies beyond a node's split reaches none of those under its left child. When all nodes have been asked, in any
order, the leaf that the row reaches is the leftmost that is left. Nothing waits for the answer of a node
before, and a node is asked for many rows at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import jit, part, trailing_zeros

MOST_LEAVES = 64
"""Bits of a word."""
ROWS = 64
"""Rows for which a node is asked at once."""
_AT_ONCE = 8
"""What rows are filled up to a multiple of: many at once are as quick as one."""
_ALL = np.uint64(2**64 - 1)


class Masks(NamedTuple):
    """Of all trees one after the other: column [nodes] that an inner node looks at, split [nodes], and kept
    [nodes]: the leaves that a row beyond the split may still reach; ends [trees]: where each tree's nodes
    end; value [trees, MOST_LEAVES] of its leaves from the left."""

    column: npt.NDArray[np.uint16]
    split: npt.NDArray[np.float64]
    kept: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


def lay_out(feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> Masks:
    """From trees [trees, nodes] as `models.forest.Forest` takes them, of at most MOST_LEAVES leaves each."""
    trees, nodes = feature.shape
    leaf, every = feature < 0, np.arange(trees)
    below = leaf.astype(np.int64)
    """Leaves at or under each node."""
    for k in reversed(range(nodes)):
        inner = every[~leaf[:, k]]
        below[inner, k] = below[inner, left[inner, k]] + below[inner, right[inner, k]]
    first = np.zeros((trees, nodes), dtype=np.int64)
    """The leftmost of them."""
    reached = np.zeros((trees, nodes), dtype=np.bool_)
    reached[:, 0] = True
    for k in range(nodes):
        inner = every[~leaf[:, k]]
        one, other = left[inner, k], right[inner, k]
        first[inner, one] = first[inner, k]
        first[inner, other] = first[inner, k] + below[inner, one]
        reached[inner, one] = reached[inner, other] = reached[inner, k]
    inner_nodes = reached & ~leaf
    tree, node = np.nonzero(inner_nodes)
    under_left = below[tree, left[tree, node]].astype(np.uint64)
    ruled_out = ((np.uint64(1) << under_left) - np.uint64(1)) << first[tree, node].astype(np.uint64)
    values = np.zeros((trees, MOST_LEAVES))
    tree_of, leaf_node = np.nonzero(reached & leaf)
    values[tree_of, first[tree_of, leaf_node]] = value[tree_of, leaf_node]
    return Masks(
        feature[tree, node].astype(np.uint16),
        np.asarray(threshold[tree, node], dtype=np.float64),
        ~ruled_out,
        np.cumsum(inner_nodes.sum(axis=1)),
        values,
    )


@jit
def sum_of_leaf_values(x: Any, trees: Masks, missing: float) -> Any:
    """As in `models.forest.Forest`: [n]."""
    n, f = x.shape
    out = np.zeros(n)
    columns, left = np.zeros((f, ROWS)), np.empty(ROWS, dtype=np.uint64)
    for first in range(0, n, ROWS):
        rows = min(ROWS, n - first)
        filled = (rows + _AT_ONCE - 1) // _AT_ONCE * _AT_ONCE
        for i in range(rows):
            for j in range(f):
                columns[j, i] = missing if np.isnan(x[first + i, j]) else x[first + i, j]
        begin = 0
        for t in range(trees.ends.shape[0]):
            left[:] = _ALL
            for k in range(begin, trees.ends[t]):
                column, split, kept = part(columns, trees.column[k]), trees.split[k], trees.kept[k]
                for i in range(filled):
                    left[i] &= kept if column[i] > split else _ALL
            begin = trees.ends[t]
            value = part(trees.value, t)
            for i in range(rows):
                out[first + i] += value[trailing_zeros(left[i])]
    return out
