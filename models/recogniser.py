"""The recogniser: gradient-boosted trees that were taught what published attacks look like elsewhere.

It sees only how surprising each feature is in the deployment's own profile (signed -ln tail probabilities),
never a raw value, so what it learned on one data set holds on another. It learns nothing from the
deployment, and it is never the only judge: its score is calibrated on the deployment's own benign traffic
like that of the anomaly models.

`python -m benchmarks.detection.teach` makes `recogniser.npz` and prints how it does on data sets and on
attacks that it was not taught on. The file holds arrays and a description of where they come from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Arrays, Matrix, Vector
from models.forest import sum_of_leaf_values

SHIPPED = Path(__file__).with_name("recogniser.npz")
_ARRAYS = ("feature", "threshold", "left", "right", "value", "baseline")
_META = "meta"


class Recogniser:
    """Boosted trees over signed surprises x [n, f], one stack of trees a class; class 0 is benign.

    `classes` and `features` name the classes and the columns of x; `provenance` says what taught it.
    arrays: feature, threshold, left, right, value [classes, trees, nodes] (feature -1: leaf), baseline
    [classes].
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]], meta: Mapping[str, Any]) -> None:
        self._arrays = {name: np.ascontiguousarray(arrays[name]) for name in _ARRAYS}
        self.classes: tuple[str, ...] = tuple(meta["classes"])
        self.features: tuple[str, ...] = tuple(meta["features"])
        self.provenance: dict[str, Any] = dict(meta["provenance"])
        digest = hashlib.sha256()
        for name in _ARRAYS:
            digest.update(name.encode() + self._arrays[name].tobytes())
        self.version = digest.hexdigest()[:12]

    def raw(self, x: Matrix) -> Matrix:
        """Raw (log) score of each class [n, classes]; missing features count as unsurprising."""
        rows = np.nan_to_num(x, nan=0.0)
        trees = self._arrays
        return np.column_stack(
            [
                trees["baseline"][c]
                + sum_of_leaf_values(
                    rows,
                    trees["feature"][c],
                    trees["threshold"][c],
                    trees["left"][c],
                    trees["right"][c],
                    trees["value"][c],
                )
                for c in range(len(self.classes))
            ]
        )

    def score(self, x: Matrix) -> Vector:
        """Log-odds of any attack against benign [n]."""
        raw = self.raw(x)
        return np.asarray(np.logaddexp.reduce(raw[:, 1:], axis=1) - raw[:, 0], dtype=np.float64)

    def probabilities(self, x: Matrix) -> Matrix:
        """Probability of each class [n, classes]."""
        raw = self.raw(x)
        weights = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)

    def save(self, path: Path) -> None:
        """Write arrays and description; the same content gives the same bytes."""
        meta = {"classes": self.classes, "features": self.features, "provenance": self.provenance}
        text = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
        everything: dict[str, Any] = {_META: text, **self._arrays}
        np.savez_compressed(path, **everything)


def load(path: Path) -> Recogniser:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays: Arrays = {name: stored[name] for name in _ARRAYS}
        return Recogniser(arrays, json.loads(stored[_META].tobytes()))


@cache
def shipped() -> Recogniser:
    """The recogniser that comes with querywatch."""
    return load(SHIPPED)
