"""scikit-learn's IsolationForest, refitted from a bounded window, scored through flat arrays.

Reference: Liu, Ting and Zhou, "Isolation Forest", ICDM 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Arrays, Matrix, Vector, Window
from models.forest import NEUTRAL, Forest, average_path_length

MINIMUM_ROWS = 64
"""With fewer rows the trees isolate everything equally fast, so there is no opinion."""
LARGEST = float(np.finfo(np.float32).max)


class IsolationForest:
    """`n_trees` trees, each from up to 256 of the newest `window` rows. NaN counts as the middle rank."""

    name = "isolation_forest"

    def __init__(self, n_trees: int = 32, window: int = 4096, seed: int = 1) -> None:
        self.n_trees = n_trees
        self.seed = seed
        self._window = Window(window)
        self._trees: dict[str, npt.NDArray[np.generic]] = {}
        self._forest: Forest | None = None
        """The trees as they are walked, once they are."""
        self._normaliser = 1.0

    def learn(self, x: Matrix) -> None:
        """Add rows x [n, f] to the window and fit the forest anew."""
        rows = self._window.add(_as_sklearn_sees(np.where(np.isnan(x), NEUTRAL, x)))
        if len(rows) < MINIMUM_ROWS:
            return
        from sklearn.ensemble import IsolationForest as SklearnForest

        samples = min(256, len(rows))
        forest = SklearnForest(n_estimators=self.n_trees, max_samples=samples, random_state=self.seed)
        forest.fit(rows)
        self._copy(forest)
        self._normaliser = float(average_path_length(np.array([samples]))[0]) * self.n_trees

    def _copy(self, forest: Any) -> None:
        """Copy scikit-learn's trees into padded arrays; a leaf's value is the path length that ends there."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        shape = (len(trees), max(tree.node_count for tree in trees))
        feature = np.full(shape, -1, dtype=np.int32)
        left, right = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
        threshold, value = np.zeros(shape), np.zeros(shape)
        for t, tree in enumerate(trees):
            n = tree.node_count
            leaf = tree.children_left < 0
            depth = np.zeros(n)
            for node in range(n):
                if not leaf[node]:
                    depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
            feature[t, :n] = np.where(leaf, -1, tree.feature)
            left[t, :n], right[t, :n] = tree.children_left, tree.children_right
            threshold[t, :n] = tree.threshold
            value[t, :n] = depth + average_path_length(tree.n_node_samples.astype(np.float64))
        self._forest = None
        self._trees = {
            "feature": feature,
            "left": left,
            "right": right,
            "threshold": threshold,
            "value": value,
        }

    def score(self, x: Matrix) -> Vector:
        """2 ** (-mean path length / c(samples)), in (0, 1): the score of the paper. NaN before a fit."""
        if not self._trees:
            return np.full(len(x), np.nan)
        if self._forest is None:
            self._forest = Forest(**self._trees)
        total = self._forest.sum_of_leaf_values(_as_sklearn_sees(x), NEUTRAL)
        return np.asarray(np.exp2(-total / self._normaliser), dtype=np.float64)

    def to_arrays(self) -> Arrays:
        """The trees and the window."""
        return {
            **self._trees,
            "normaliser": np.array([self._normaliser]),
            "window": self._window.rows.astype(np.float32),
        }

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over trees and window."""
        self._forest = None
        self._trees = {k: v for k, v in arrays.items() if k not in ("normaliser", "window")}
        self._normaliser = float(np.asarray(arrays["normaliser"], dtype=np.float64)[0])
        self._window.load(arrays["window"])


def _as_sklearn_sees(x: Matrix) -> Matrix:
    """x [n, f] rounded to the float32 that scikit-learn compares, or rows on a split would go elsewhere."""
    return np.clip(x, -LARGEST, LARGEST).astype(np.float32).astype(np.float64)
