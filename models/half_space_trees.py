"""River's HalfSpaceTrees, taught online, scored many rows at a time.

Reference: Tan, Ting and Liu, "Fast Anomaly Detection for Streaming Data", IJCAI 2011. Works when
anomalies are spread out; features must lie in [0, 1], so ranks are what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Arrays, Matrix, Vector
from models.forest import NEUTRAL, Forest


class HalfSpaceTrees:
    """`n_trees` complete trees of `height`; masses pivot every `window_size` rows learned.

    Gives no opinion until the first window is full. NaN counts as the middle rank. River itself is only
    imported to learn: scoring works on the trees laid out as arrays, and a service with a frozen profile
    starts without it.
    """

    name = "half_space_trees"

    def __init__(self, n_trees: int = 15, height: int = 6, window_size: int = 250, seed: int = 1) -> None:
        self.n_trees = n_trees
        self.height = height
        self.window_size = window_size
        self.seed = seed
        self._river: Any = None
        self._nodes: list[list[Any]] = []
        self._saved: Arrays = {}
        self._forest: Forest | None = None
        """The trees as they are walked, once they are."""

    def learn(self, x: Matrix) -> None:
        """Learn rows x [n, f] of ranks in [0, 1], in order."""
        rows = np.where(np.isnan(x), NEUTRAL, x).tolist()
        if not rows:
            return
        if self._river is None:
            self._grow(len(rows[0]))
        for row in rows:
            self._river.learn_one(dict(enumerate(row)))
        self._forest = None
        self._saved |= {
            "reference_mass": self._masses("r_mass"),
            "latest_mass": self._masses("l_mass"),
            "counter": np.array([self._river.counter, int(self._river._first_window)], dtype=np.int64),
        }

    def score(self, x: Matrix) -> Vector:
        """River's score in [0, 1] of each row, NaN during the first window."""
        if not self._saved or self._saved["counter"][1]:
            return np.full(len(x), np.nan)
        if self._forest is None:
            self._forest = self._laid_out()
        total = self._forest.sum_of_leaf_values(x, NEUTRAL)
        most = self.n_trees * self.window_size * (2 ** (self.height + 1) - 1)
        return np.asarray(1.0 - total / most, dtype=np.float64)

    def _laid_out(self) -> Forest:
        """Trees in which a walk ends where River's does, at a value that is what it adds up on the way:
        mass * 2**depth of each node.

        River stops where fewer than a tenth of a window's rows passed, as the paper does. It goes right from
        the threshold on, the trees here only beyond.
        """
        mass = np.asarray(self._saved["reference_mass"], dtype=np.float64)
        feature = np.full(mass.shape, -1, dtype=np.int32)
        threshold = np.zeros(mass.shape)
        inner = self._saved["feature"].shape[1]
        passed = mass[:, :inner] >= 0.1 * self.window_size
        feature[:, :inner] = np.where(passed, self._saved["feature"], -1)
        threshold[:, :inner] = np.nextafter(self._saved["threshold"], -np.inf)
        value, parent = mass.copy(), (np.arange(mass.shape[1]) - 1) // 2
        depth = np.floor(np.log2(np.arange(mass.shape[1]) + 1))
        for k in range(1, mass.shape[1]):
            value[:, k] = value[:, parent[k]] + mass[:, k] * 2.0 ** depth[k]
        left = np.broadcast_to(2 * np.arange(mass.shape[1]) + 1, mass.shape)
        return Forest(feature, threshold, left, left + 1, value)

    def _grow(self, width: int) -> None:
        """River's trees over `width` features, their nodes in heap order, with the saved masses if any.

        River builds its trees from the seed at the first row it learns, so they come out the same again.
        """
        from river import anomaly

        saved = self._saved
        self._river = anomaly.HalfSpaceTrees(
            n_trees=self.n_trees, height=self.height, window_size=self.window_size, seed=self.seed
        )
        self._river.learn_one(dict.fromkeys(range(width), NEUTRAL))
        inner = 2**self.height - 1
        for tree in self._river.trees:
            heap = [tree]
            for k in range(inner):
                heap.extend(heap[k].children)
            self._nodes.append(heap)
        self._set_masses("r_mass", saved.get("reference_mass"))
        self._set_masses("l_mass", saved.get("latest_mass"))
        counter, first = np.asarray(saved.get("counter", np.array([0, 1]))).tolist()
        self._river.counter, self._river._first_window = counter, bool(first)
        self._saved = {
            **saved,
            "feature": np.array([[n.feature for n in h[:inner]] for h in self._nodes], dtype=np.int32),
            "threshold": np.array([[n.threshold for n in h[:inner]] for h in self._nodes], dtype=np.float64),
        }

    def _masses(self, which: str) -> Matrix:
        return np.array([[getattr(node, which) for node in heap] for heap in self._nodes], dtype=np.float64)

    def _set_masses(self, which: str, masses: npt.NDArray[np.generic] | None) -> None:
        for t, heap in enumerate(self._nodes):
            for k, node in enumerate(heap):
                setattr(node, which, 0 if masses is None else int(np.asarray(masses, dtype=np.float64)[t, k]))

    def to_arrays(self) -> Arrays:
        """Splits, masses and counters."""
        return dict(self._saved)

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over splits, masses and counters; River's trees follow when there is something to learn."""
        self._river, self._nodes, self._forest = None, [], None
        self._saved = dict(arrays)
