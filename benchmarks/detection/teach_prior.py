"""Teaches the prior that judges until there is a profile, and tries it on data sets that are new to it.

Everything is done once without each data set: quantiles, recogniser, and what they say of that data set.
From this come the calibration and the tails of the prior that is shipped, and, again without the data set
in question, of those that are only tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detection.left_out import BUDGET, Outcome, alerts_of
from benchmarks.detection.lessons import Lessons, teach
from benchmarks.detection.tables import clopper_pearson
from benchmarks.detection.unlearned import Unlearned
from detector.contamination import thinned
from detector.features.catalogue import FAMILIES, SIDES
from detector.policy import SESSION
from detector.prior import Prior
from detector.query import FloatArray, IntArray
from detector.tails import Scored, tails_of
from models.calibration import Calibration
from models.ensemble import Ensemble
from models.quantiles import Quantiles
from models.recogniser import Recogniser
from models.tail import FLOOR, Tail

EACH = 500
"""Benign evaluation points that each model of each deployment gives to the quantiles at most."""


class _Learned(NamedTuple):
    """What points of some data sets taught."""

    recogniser: Recogniser
    quantiles: Quantiles

    def ensemble(self) -> Ensemble:
        """Not calibrated yet."""
        made = Ensemble(SIDES, FAMILIES, self.recogniser, forests=False)
        made.tail.quantiles = self.quantiles
        return made


class _Said(NamedTuple):
    """What models that did not know a deployment said of its benign history: raw scores of the points of
    sessions and of the other kinds of entities, each [n, models]."""

    of: Unlearned
    raw: FloatArray
    others: tuple[FloatArray, ...]


def teach_prior(
    recorded: Sequence[Unlearned], provenance: dict[str, Any], fewer: int = 1
) -> tuple[Prior, list[tuple[str, Outcome]]]:
    """The prior of all that was recorded; and by data set how priors made without it do on it. Those
    are taught on one point of `fewer`, and to name attacks on fewer still."""
    names = sorted({one.past.data_set for one in recorded})
    without, said = {}, []
    for name in names:
        without[name] = _learned([one for one in recorded if one.past.data_set != name], {}, fewer)
        judge = without[name].ensemble()
        for one in recorded:
            if one.past.data_set == name:
                others = tuple(judge.raw(rows.features, rows.points) for rows in one.others)
                said.append(_Said(one, judge.raw(one.past.features, one.past.so_far), others))
    outcomes = []
    for name in names:
        rest = [one for one in said if one.of.past.data_set != name]
        profile = _prior(without[name], rest, {}).profile
        thresholds, outcome = profile.thresholds(BUDGET)[SESSION].tolist(), Outcome()
        for one in recorded:
            for points in (one.past, one.now):
                if points.data_set == name:
                    outcome.add(points, alerts_of(profile.ensemble, thresholds, points))
        outcomes.append((name, outcome))
    shipped = _prior(_learned(recorded, provenance), said, provenance)
    return _resting_on(shipped, [outcome for _, outcome in outcomes]), outcomes


def _learned(recorded: Sequence[Unlearned], provenance: dict[str, Any], fewer: int = 1) -> _Learned:
    quantiles = Quantiles.fit(np.vstack([one.past.features[_some(one)] for one in recorded]), FLOOR)
    tail = Tail(SIDES, FAMILIES)
    tail.quantiles = quantiles
    points = [
        replace(part, surprises=tail.see(part.features).signed)
        for one in recorded
        for part in (one.past, one.now)
    ]
    lessons = Lessons.of(points)
    return _Learned(teach(lessons.every(fewer), provenance, lessons.every(fewer**2)), quantiles)


def _some(of: Unlearned) -> IntArray:
    """At most EACH of the points of the history that may teach, evenly spread."""
    chosen = np.flatnonzero(thinned(of.past.sessions))
    return chosen[np.linspace(0, len(chosen) - 1, min(EACH, len(chosen))).astype(np.int64)]


def _prior(learned: _Learned, said: Sequence[_Said], provenance: dict[str, Any]) -> Prior:
    chosen = [_some(one.of) for one in said]
    calibration = Calibration.fit(
        np.vstack([one.raw[some] for one, some in zip(said, chosen, strict=True)]),
        np.concatenate([one.of.past.so_far[some] for one, some in zip(said, chosen, strict=True)]),
    )
    ensemble = learned.ensemble()
    ensemble.take_calibration(calibration)

    def scored(raw: FloatArray, entities: IntArray, points: IntArray) -> Scored:
        return Scored(ensemble.combine(raw, points), entities, points)

    sessions = _together([scored(one.raw, one.of.past.sessions, one.of.past.so_far) for one in said])
    kinds = zip(*((zip(one.others, one.of.others, strict=True)) for one in said), strict=True)
    others = tuple(
        _together([scored(raw, rows.entities, rows.points) for raw, rows in kind]) for kind in kinds
    )
    total = sum(one.of.past.benign_sessions for one in said)
    tails, late, odd_level = tails_of(sessions, others, total, len(said))
    return Prior(learned.recogniser, learned.quantiles, calibration, tails, late, odd_level, provenance)


def _resting_on(prior: Prior, outcomes: Sequence[Outcome]) -> Prior:
    """The prior whose tails say that they rest on as many sessions as would show, without a false alert, the
    upper limit of its rate on data sets left out: its own sessions are those of other models."""
    most = clopper_pearson(sum(one.wrong for one in outcomes), sum(one.sessions for one in outcomes))[1]
    tails, late = (
        tuple(replace(tail, sessions=int(3.0 / most)) for tail in some) for some in (prior.tails, prior.late)
    )
    return replace(prior, tails=tails, late=late)


def _together(parts: Sequence[Scored]) -> Scored:
    """Scores of several models, with serials of their own for the entities of each."""
    numbers, count = [], 0
    for _, entities, _ in parts:
        values, dense = np.unique(entities, return_inverse=True)
        numbers.append(dense.astype(np.int64) + count)
        count += len(values)
    scores, _, points = zip(*parts, strict=True)
    return Scored(np.concatenate(scores), np.concatenate(numbers), np.concatenate(points))
