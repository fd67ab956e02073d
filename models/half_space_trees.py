"""River's HalfSpaceTrees, taught online, scored many rows at a time.

Reference: Tan, Ting and Liu, "Fast Anomaly Detection for Streaming Data", IJCAI 2011. Works when
anomalies are spread out; features must lie in [0, 1], so ranks are what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from river import anomaly

from models.base import Arrays, Matrix, Vector
from models.forest import NEUTRAL, half_space_mass


class HalfSpaceTrees:
    """`n_trees` complete trees of `height`; masses pivot every `window_size` rows learned.

    Gives no opinion until the first window is full. NaN counts as the middle rank.
    """

    name = "half_space_trees"

    def __init__(self, n_trees: int = 15, height: int = 6, window_size: int = 250, seed: int = 1) -> None:
        self.height = height
        self.window_size = window_size
        self._river: Any = anomaly.HalfSpaceTrees(
            n_trees=n_trees, height=height, window_size=window_size, seed=seed
        )
        self._nodes: list[list[Any]] = []
        self._feature = np.empty((0, 0), dtype=np.int32)
        self._threshold = np.empty((0, 0))
        self._mass: Matrix | None = None

    def learn(self, x: Matrix) -> None:
        """Learn rows x [n, f] of ranks in [0, 1], in order."""
        rows = np.where(np.isnan(x), NEUTRAL, x)
        for row in rows.tolist():
            self._river.learn_one(dict(enumerate(row)))
        if len(rows):
            self._lay_out()
            self._mass = self._masses("r_mass")

    def score(self, x: Matrix) -> Vector:
        """River's score in [0, 1] of each row, NaN during the first window."""
        if self._mass is None or self._river._first_window:
            return np.full(len(x), np.nan)
        total = half_space_mass(
            x, self._feature, self._threshold, self._mass, self.height, self._river.size_limit
        )
        return np.asarray(1.0 - total / self._river._max_score, dtype=np.float64)

    def _lay_out(self) -> None:
        """Number the nodes of River's trees in heap order, once: their splits never change."""
        if self._nodes:
            return
        for tree in self._river.trees:
            heap = [tree]
            for k in range(2**self.height - 1):
                heap.extend(heap[k].children)
            self._nodes.append(heap)
        inner = 2**self.height - 1
        self._feature = np.array([[n.feature for n in h[:inner]] for h in self._nodes], dtype=np.int32)
        self._threshold = np.array([[n.threshold for n in h[:inner]] for h in self._nodes])

    def _masses(self, which: str) -> Matrix:
        return np.array([[getattr(node, which) for node in heap] for heap in self._nodes], dtype=np.float64)

    def to_arrays(self) -> Arrays:
        """Masses and counters; splits follow from the seed."""
        if not self._nodes:
            return {}
        return {
            "features": np.array([len(self._river.limits)], dtype=np.int64),
            "reference_mass": self._masses("r_mass"),
            "latest_mass": self._masses("l_mass"),
            "counter": np.array([self._river.counter, int(self._river._first_window)], dtype=np.int64),
        }

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Rebuild the trees from the seed, then put the saved masses back."""
        if not arrays:
            return
        width = int(np.asarray(arrays["features"], dtype=np.int64)[0])
        self._river.learn_one(dict.fromkeys(range(width), NEUTRAL))
        self._lay_out()
        for which, key in (("r_mass", "reference_mass"), ("l_mass", "latest_mass")):
            for heap, masses in zip(self._nodes, np.asarray(arrays[key]).tolist(), strict=True):
                for node, mass in zip(heap, masses, strict=True):
                    setattr(node, which, mass)
        counter, first = np.asarray(arrays["counter"]).tolist()
        self._river.counter, self._river._first_window = counter, bool(first)
        self._mass = self._masses("r_mass")
