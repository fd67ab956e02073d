"""The recogniser: gradient-boosted trees that were taught what published attacks look like elsewhere.

Whether it is an attack it judges by how surprising each feature is in the deployment's own profile (signed
-ln tail probabilities), never by a raw value, so what it learned on one data set holds on another; and by the
number of evaluation points so far: what a few queries show by chance, many do not. It learns
nothing from the deployment, and it is never the only judge: its score is calibrated on the deployment's own
benign traffic like that of the anomaly models. Which attack it is, once there is one, is a question of how
it searches, so there the features themselves count too, now and on average since it began.

`python -m benchmarks.detection.teach` makes `recogniser.npz` and prints how it does on data sets and on
attacks that it was not taught on; with `--texts` it makes `recogniser_texts.npz`, for models of texts, which
are attacked in other ways. The files hold arrays and a description of where they come from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Arrays, IntArray, Matrix, Vector
from models.forest import Forest
from models.shipped import read

SHIPPED = Path(__file__).with_name("recogniser.npz")
SHIPPED_FOR_TEXTS = Path(__file__).with_name("recogniser_texts.npz")
_TREES = ("feature", "threshold", "left", "right", "value")
_ARRAYS = (*_TREES, "baseline")
_STACKS = ("attack", "family")
_META = "meta"


MANY = 32
"""Evaluation points from which more of them say no more."""


class Stack:
    """Boosted trees, `groups` stacks of them side by side over the same rows.

    feature, threshold, left, right, value [groups, trees, nodes] (feature -1: leaf), baseline [groups].
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self.arrays: Arrays = {name: np.ascontiguousarray(arrays[name]) for name in _ARRAYS}
        trees = zip(*(self.arrays[name] for name in _TREES), strict=True)
        self._forests = [Forest(*group) for group in trees]

    def placed(self, columns: npt.NDArray[np.int32]) -> Stack:
        """The same trees where the column j of the rows is `columns[j]`."""
        feature = np.asarray(self.arrays["feature"], dtype=np.int32)
        moved = np.where(feature < 0, feature, columns[np.maximum(feature, 0)])
        return Stack({**self.arrays, "feature": moved.astype(np.int32)})

    def raw(self, x: Matrix) -> Matrix:
        """Raw score of each group [n, groups]; missing features count as unsurprising."""
        sums = [forest.sum_of_leaf_values(x, missing=0.0) for forest in self._forests]
        baseline = np.asarray(self.arrays["baseline"], dtype=np.float64)
        return np.asarray(np.column_stack(sums) + baseline, dtype=np.float64)


class Recogniser:
    """Two questions: is it an attack (one group of trees over `judged` [n, f + 1], asked at every evaluation
    point), and if it is one, of which family (a group each over `described` [n, 3 f], asked when
    an alert is written).

    `classes` names the families and `features` the f features; `provenance` says what taught it.
    """

    def __init__(self, attack: Stack, family: Stack, meta: Mapping[str, Any]) -> None:
        self._attack = attack
        self._family = family
        self.classes: tuple[str, ...] = tuple(meta["classes"])
        self.features: tuple[str, ...] = tuple(meta["features"])
        self.provenance: dict[str, Any] = dict(meta["provenance"])
        digest = hashlib.sha256()
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + array.tobytes())
        self.version = digest.hexdigest()[:12]

    def score(self, signed: Matrix, points: IntArray) -> Vector:
        """Log-odds of any attack against benign [n], by signed surprises [n, f] and by the how many-th of its
        entity each evaluation point is [n], from 1."""
        return np.asarray(self._attack.raw(judged(signed, points))[:, 0], dtype=np.float64)

    def families(self, x: Matrix) -> Matrix:
        """Probability of each family [n, families] of attacks `described` as x [n, 3 f]."""
        raw = self._family.raw(x)
        weights = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)

    def placed(self, names: Sequence[str]) -> Recogniser:
        """The same recogniser for rows whose columns have these names, which must hold all of its own.
        Raises ValueError."""
        if missing := set(self.features) - set(names):
            raise ValueError(
                f"the recogniser needs features that are not there: {', '.join(sorted(missing))}"
            )
        columns = np.array([list(names).index(name) for name in self.features], dtype=np.int32)
        last = np.array([len(names)], dtype=np.int32)
        thrice = np.concatenate([columns + part * len(names) for part in range(3)])
        meta = {"classes": self.classes, "features": tuple(names), "provenance": self.provenance}
        attack = self._attack.placed(np.concatenate([columns, last]))
        return Recogniser(attack, self._family.placed(thrice), meta)

    def _arrays(self) -> Arrays:
        stacks = zip(_STACKS, (self._attack, self._family), strict=True)
        return {f"{name}_{key}": array for name, stack in stacks for key, array in stack.arrays.items()}

    def to_arrays(self) -> Arrays:
        """Everything as named arrays, the description as JSON in one of them."""
        meta = {"classes": self.classes, "features": self.features, "provenance": self.provenance}
        text = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
        return {_META: text, **self._arrays()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Recogniser:
        """The inverse of `to_arrays`."""
        attack, family = (Stack({name: arrays[f"{stack}_{name}"] for name in _ARRAYS}) for stack in _STACKS)
        return cls(attack, family, json.loads(arrays[_META].tobytes()))

    def save(self, path: Path) -> None:
        """Write arrays and description; the same content gives the same bytes."""
        everything: dict[str, Any] = dict(self.to_arrays())
        np.savez_compressed(path, **everything)


def load(path: Path) -> Recogniser:
    """Read what `save` wrote. Raises OSError."""
    return read(path, Recogniser.from_arrays)


def judged(signed: Matrix, points: IntArray) -> Matrix:
    """What tells attacks from benign traffic [n, f + 1]: signed surprises [n, f], NaN where unknown, and how
    many evaluation points [n] there were, at most MANY."""
    return np.column_stack([signed, np.minimum(points, MANY)])


def described(surprises: Matrix, features: Matrix, means: Matrix) -> Matrix:
    """What an attack is named by [n, 3 f]: signed surprises, features, and means of the features since it
    began, each [n, f]; NaN: unknown."""
    return np.hstack([surprises, features, means])


def shipped(texts: bool = False) -> Recogniser:
    """The recogniser that comes with querywatch for models of numbers, or the one for models of texts."""
    return _read_once(SHIPPED_FOR_TEXTS if texts else SHIPPED)


@cache
def _read_once(path: Path) -> Recogniser:
    return load(path)
