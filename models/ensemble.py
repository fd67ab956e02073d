"""The ensemble: three anomaly models and the recogniser, one score in a unit that adds up.

Each model's raw score becomes a surprise, -ln of the share of benign evaluation points of the same age that
score as high, measured on rows which that model had not learned from. The ensemble's score is the mean
surprise of the models that have an opinion, the recogniser counting for as much as the three together that
learn the deployment: about 1 on benign traffic, whatever the models' own ranges are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.base import Arrays, IntArray, Matrix, Model, Vector, under
from models.calibration import Calibration
from models.compiled import jit
from models.half_space_trees import HalfSpaceTrees
from models.isolation_forest import IsolationForest
from models.recogniser import Recogniser, described
from models.tail import Tail

CAP = 25.0
"""No model's surprise counts for more than this."""
WEIGHTS = np.array([1.0, 1.0, 1.0, 3.0])
"""Of the tail model, the isolation forest, the half-space trees and the recogniser."""
STRANGER = np.array([2.0, 0.0, 0.0, 4.0])
"""The same where nothing has learned the deployment: there is less to hold against the recogniser."""
STREAM_ROWS = 2000
"""At most this many rows, evenly thinned, teach the half-space trees at one go; River learns row by row."""
MINIMUM_ROWS = 512
"""Below, the folds are too small to calibrate on."""


class Past(NamedTuple):
    """Evaluation points: x [n, f]; the how many-th of its entity each one is [n], from 1; and the group of
    each [n], which is never split between learning and calibration."""

    x: Matrix
    points: IntArray
    groups: IntArray


class Ensemble:
    """Tail, isolation forest and half-space trees over features x [n, f]; the trees see ranks of x.

    `sides` [f] and `families` [f] as in `models.tail.Tail`; the recogniser, if there is one, sees signed
    surprises of x and how many points there were, and learns nothing here. Without `forests` it and the
    tails judge alone.
    """

    name = "ensemble"

    def __init__(
        self,
        sides: npt.NDArray[np.int64] | None = None,
        families: npt.NDArray[np.int64] | None = None,
        recogniser: Recogniser | None = None,
        *,
        forests: bool = True,
    ) -> None:
        self._sides = sides
        self._families = families
        self.recogniser = recogniser
        self.tail = Tail(sides, families)
        self._others: tuple[Model, ...] = (IsolationForest(), HalfSpaceTrees()) if forests else ()
        self._weights = WEIGHTS if forests else STRANGER
        self._calibration: Calibration | None = None

    def learn(self, x: Matrix, groups: npt.NDArray[np.int64] | None = None) -> None:
        """Learn rows x [n, f]; see `fit`."""
        self.fit(x, groups)

    def fit(self, x: Matrix, groups: npt.NDArray[np.int64] | None = None) -> Vector:
        """Learn rows x [n, f] and return their scores [n] by models that had not seen their group.

        `groups` [n] says which rows belong together (one session): a group is never split between
        learning and calibration. Fewer than MINIMUM_ROWS rows teach nothing; NaN comes back.
        """
        if len(x) < MINIMUM_ROWS:
            return np.full(len(x), np.nan)
        which = groups if groups is not None else np.arange(len(x)) // 16
        past = Past(x, _first_ones(x), which)
        return self.fit_and_score(past, np.ones(len(x), dtype=np.bool_), ())[0]

    def fit_and_score(
        self, past: Past, teaches: npt.NDArray[np.bool_], others: Sequence[Past]
    ) -> tuple[Vector, list[Vector]]:
        """`fit` on those rows that teach [n], and the scores of other rows of the same groups, which teach
        nothing: they too come from models that had not seen their group."""
        everything = (past, *others)
        if len(past.x) < MINIMUM_ROWS:
            nothing = [np.full(len(rows.x), np.nan) for rows in everything]
            return nothing[0], nothing[1:]
        folds = [fold_of(rows.groups) for rows in everything]
        raws = [np.full((len(rows.x), len(WEIGHTS)), np.nan) for rows in everything]
        for held in (0, 1):
            learner = Ensemble(self._sides, self._families, self.recogniser)
            learner._learn_models(past.x[teaches & (folds[0] != held)])
            for rows, fold, raw in zip(everything, folds, raws, strict=True):
                if (fold == held).any():
                    raw[fold == held] = learner.raw(rows.x[fold == held], rows.points[fold == held])
        self._learn_models(past.x[teaches])
        # Of rows that the models which gave these scores had not learned from.
        self.take_calibration(Calibration.fit(raws[0][teaches], past.points[teaches]))
        first, *rest = (self.combine(raw, rows.points) for raw, rows in zip(raws, everything, strict=True))
        return first, rest

    def take_calibration(self, usual: Calibration) -> None:
        """Take these raw scores of the models for the usual ones."""
        self._calibration = usual

    def _learn_models(self, x: Matrix) -> None:
        self.tail.learn(x)
        ranks = self.tail.see(x).ranks
        thinned = ranks[:: max(1, -(-len(ranks) // STREAM_ROWS))]
        for model in self._others:
            model.learn(thinned)

    def raw(self, x: Matrix, points: IntArray) -> Matrix:
        """What each model says of rows x [n, f], in its own unit [n, models]; NaN: no opinion. `points` [n]:
        the how many-th of its entity each one is, from 1."""
        seen = self.tail.see(x)
        raw = np.full((len(x), len(WEIGHTS)), np.nan)
        raw[:, 0] = self.tail.mean(seen.extreme)
        for column, model in enumerate(self._others, start=1):
            raw[:, column] = model.score(seen.ranks)
        if self.recogniser is not None and self.tail.quantiles is not None:
            raw[:, -1] = self.recogniser.score(seen.signed, points)
        return raw

    def combine(self, raw: Matrix, points: IntArray) -> Vector:
        """The score [n] that the models' raw scores [n, models] add up to; see `score`."""
        if self._calibration is None:
            return np.full(len(raw), np.nan)
        surprise = self._calibration.surprise(raw, points, CAP)
        return np.asarray(_weighted_mean(surprise, self._weights), dtype=np.float64)

    def score(self, x: Matrix, points: IntArray | None = None) -> Vector:
        """Mean surprise [n] in [0, CAP]; NaN before there is a fit. `points` as in `raw`; without it all are
        first ones."""
        so_far = _first_ones(x) if points is None else points
        return self.combine(self.raw(x, so_far), so_far)

    def attack_families(self, x: Vector, means: Vector | None = None) -> dict[str, float]:
        """The recogniser's probability of each attack family for one row x [f], given that it is an attack;
        means [f] of the rows since it began (None: x alone is known).

        Empty without a recogniser or before a fit.
        """
        if self.recogniser is None or self.tail.quantiles is None:
            return {}
        row, since = x[None, :], x[None, :] if means is None else means[None, :]
        shares = self.recogniser.families(described(self.tail.see(row).signed, row, since))[0]
        return dict(zip(self.recogniser.classes, shares.tolist(), strict=True))

    def to_arrays(self) -> Arrays:
        """All models' arrays, each key prefixed with its model's name."""
        out: Arrays = {}
        for model in (self.tail, *self._others):
            out.update({f"{model.name}/{key}": value for key, value in model.to_arrays().items()})
        if self.recogniser is not None:
            out["recogniser/version"] = np.frombuffer(self.recogniser.version.encode(), dtype=np.uint8)
        if self._calibration is not None:
            out.update({f"calibration/{k}": v for k, v in self._calibration.to_arrays().items()})
        return out

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """The inverse of `to_arrays`. Raises ValueError when it was calibrated with another recogniser."""
        stored = arrays.get("recogniser/version", np.zeros(0, dtype=np.uint8)).tobytes().decode()
        present = self.recogniser.version if self.recogniser is not None else ""
        if stored != present:
            raise ValueError(f"calibrated with recogniser {stored or 'none'}, not {present or 'none'}")
        for model in (self.tail, *self._others):
            model.load_arrays(under(arrays, f"{model.name}/"))
        calibration = under(arrays, "calibration/")
        if calibration:
            self._calibration = Calibration.from_arrays(calibration)


def _first_ones(x: Matrix) -> IntArray:
    return np.ones(len(x), dtype=np.int64)


@jit
def _weighted_mean(surprise: Any, weights: Any) -> Any:
    """Mean of what is known in each row of surprise [n, models]; NaN where nothing is: [n]."""
    n, models = surprise.shape
    out = np.empty(n)
    for i in range(n):
        total, weight = 0.0, 0.0
        for j in range(models):
            if not np.isnan(surprise[i, j]):
                total += surprise[i, j] * weights[j]
                weight += weights[j]
        out[i] = total / weight if weight > 0.0 else np.nan
    return out


def fold_of(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Fold 0 or 1 of each group number, by a fixed scramble, so that folds follow no order in the log."""
    scrambled = groups.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((scrambled >> np.uint64(40)) % np.uint64(2)).astype(np.int64)
