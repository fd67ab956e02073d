"""River's half-space trees on single queries: the textbook way to put a stream detector on a model's log."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.detection.peers.base import Stream
from benchmarks.traces.recording import BoolArray
from detector.query import FloatArray

WARM_UP = 500
"""Queries: River scores its whole first window of 250 as 0."""
BUDGET = 1.0
"""Benign sessions in 10,000 that may alert: querywatch's default."""


class HalfSpacePerQuery:
    """Each query scored, then learned, with River's defaults. An alarm above that quantile of the history's
    sessions' *highest* scores that lets as many benign sessions alert as our own budget does (of fewer than
    10,000 sessions: about the highest of all)."""

    name = "HalfSpaceTrees per query"

    def __init__(self, budget: float = BUDGET) -> None:
        self.budget = budget

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """Learns the history, then goes on learning. Silent if the history is no longer than its warm-up."""
        from river.anomaly import HalfSpaceTrees

        model: Any = HalfSpaceTrees(seed=0)  # River's methods carry no types

        def scores(unit: FloatArray) -> FloatArray:
            scored = np.empty(len(unit))
            for i, row in enumerate(np.clip(unit, 0.0, 1.0).tolist()):
                named = dict(enumerate(row))
                scored[i] = model.score_one(named)
                model.learn_one(named)
            return scored

        learned = scores(history.unit)
        maxima = [learned[mine[mine >= WARM_UP]].max(initial=-1.0) for _, mine in history.by_session()]
        judged = [highest for highest in maxima if highest >= 0.0]
        threshold = np.quantile(judged, 1.0 - self.budget / 1e4) if judged else np.inf
        return np.asarray(scores(trace.unit) > threshold)
