"""What the recogniser is taught: points of attacks and of benign traffic, and boosted trees over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from benchmarks.detection.collect import Points
from benchmarks.traces.attacks import UNSEEN
from detector.contamination import thinned
from detector.features.catalogue import NAMES
from detector.query import FloatArray, IntArray
from models.recogniser import Recogniser, Stack, described, judged

FAMILIES = ("inversion", "membership_inference", "extraction", "evasion")
TREES, LEAVES = 100, 24
TEACHES = 96
"""Evaluation points of one session that teach at most, evenly spread over it: very long ones know no more."""
IMPOSSIBLE = -30.0


@dataclass(frozen=True)
class Lessons:
    """Points that may teach: `described` x [n, 3 f], the how many-th of its session each one is [n], class y
    [n] (0 benign, else 1 + number of the family), attack kind and data set [n]."""

    x: FloatArray
    so_far: IntArray
    y: IntArray
    kinds: NDArray[np.str_]
    sets: NDArray[np.str_]

    @classmethod
    def of(cls, taught: Sequence[Points]) -> Lessons:
        """At most TEACHES points of each session of some deployments but those of `UNSEEN` attacks: who
        teaches that ordinary queries are an attack teaches that honest clients are one."""
        some = [(points, thinned(points.sessions, TEACHES)) for points in taught]
        kinds = np.concatenate([np.array(points.kind)[few] for points, few in some])
        families = np.concatenate([np.array(points.family)[few] for points, few in some])
        sets = np.concatenate([np.repeat(points.data_set, few.sum()) for points, few in some])
        x = np.vstack(
            [described(points.surprises, points.features, points.means())[few] for points, few in some]
        )
        x = np.nan_to_num(x)
        so_far = np.concatenate([points.so_far[few] for points, few in some])
        y = np.zeros(len(x), dtype=np.int64)
        for number, family in enumerate(FAMILIES, start=1):
            y[families == family] = number
        keep = ~np.isin(kinds, UNSEEN)
        return cls(x[keep], so_far[keep], y[keep], kinds[keep], sets[keep])

    @property
    def surprises(self) -> FloatArray:
        """Signed surprises alone [n, f]."""
        return self.x[:, : len(NAMES)]

    @property
    def judged(self) -> FloatArray:
        """What tells attacks from benign traffic [n, f + 1]."""
        return judged(self.surprises, self.so_far)

    def every(self, step: int) -> Lessons:
        """One point of `step`."""
        return self.where(np.arange(len(self.y)) % step == 0)

    def where(self, keep: NDArray[np.bool_]) -> Lessons:
        """Some of the points."""
        return Lessons(*(getattr(self, field.name)[keep] for field in fields(self)))


def _boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        learning_rate=0.15,
        l2_regularization=5.0,
        min_samples_leaf=100,
        random_state=0,
    )


def teach(lessons: Lessons, provenance: dict[str, Any], naming: Lessons | None = None) -> Recogniser:
    """Boosted trees over the lessons, laid out as arrays; `naming`: what teaches to name attacks, if not all.

    Every attack family weighs as much as the others, and all together as much as benign traffic.
    """
    naming = naming or lessons
    attack, named = lessons.y > 0, naming.y > 0
    with threadpool_limits(1):  # results of parallel sums may differ in the last digit
        told_apart = _boosted().fit(lessons.judged, attack, sample_weight=_weights(lessons))
        family = naming.where(named)
        kinds = _boosted().fit(family.x, family.y - 1, sample_weight=_weights(naming)[named])
    return Recogniser(
        lay_out(told_apart, 1),
        lay_out(kinds, len(FAMILIES)),
        {"classes": FAMILIES, "features": NAMES, "provenance": provenance},
    )


def _weights(lessons: Lessons) -> FloatArray:
    counts = np.bincount(lessons.y, minlength=1 + len(FAMILIES))
    share = counts[0] / len(FAMILIES) / np.maximum(counts, 1)
    share[0] = 1.0
    return np.asarray(share[lessons.y], dtype=np.float64)


def lay_out(boosted: HistGradientBoostingClassifier, groups: int) -> Stack:
    """scikit-learn's trees as padded arrays [groups, trees, nodes]."""
    stages = boosted._predictors
    shape = (groups, len(stages), max(len(tree.nodes) for stage in stages for tree in stage))
    feature = np.full(shape, -1, dtype=np.int32)
    left, right = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    threshold, value = np.zeros(shape), np.zeros(shape)
    # Two classes share one group of trees. A class that was left out has no trees, and no chance.
    present = boosted.classes_.astype(np.int64) if groups > 1 else np.zeros(1, dtype=np.int64)
    baseline = np.full(groups, IMPOSSIBLE)
    baseline[present] = np.asarray(boosted._baseline_prediction, dtype=np.float64).ravel()
    for t, stage in enumerate(stages):
        for g, tree in zip(present, stage, strict=True):
            nodes, n = tree.nodes, len(tree.nodes)
            leaf = nodes["is_leaf"].astype(np.bool_)
            feature[g, t, :n] = np.where(leaf, -1, nodes["feature_idx"])
            left[g, t, :n], right[g, t, :n] = nodes["left"], nodes["right"]
            threshold[g, t, :n] = np.where(leaf, 0.0, nodes["num_threshold"])
            value[g, t, :n] = nodes["value"]
    return Stack(
        {
            "feature": feature,
            "threshold": threshold,
            "left": left,
            "right": right,
            "value": value,
            "baseline": baseline,
        }
    )
