"""PRADA (Juuti et al. 2019): distances between a client's queries stop looking normal."""

from __future__ import annotations

import numpy as np
from scipy.stats import shapiro

from benchmarks.detection.peers.base import Stream
from benchmarks.traces.recording import BoolArray
from detector.query import FloatArray, IntArray

EVERY, FEWEST, OUTLIERS = 10, 100, 3.0


class Prada:
    """Per client and predicted class a growing set; the smallest distance of each query to it. Every tenth
    query the pooled distances without outliers are tested: an alarm where Shapiro-Wilk's W is below delta.
    """

    name = "PRADA"

    def __init__(self, delta: float = 0.95) -> None:
        self.delta = delta

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """The history teaches it nothing: delta is given."""
        alarm = np.zeros(len(trace), dtype=np.bool_)
        for mine in trace.by_client():
            if len(mine) > FEWEST:
                alarm[mine] = self._client(trace.unit[mine], trace.labels[mine])
        return alarm

    def _client(self, x: FloatArray, labels: IntArray) -> BoolArray:
        classes: dict[int, _Growing] = {}
        alarm = np.zeros(len(x), dtype=np.bool_)
        state = False
        for i, (row, label) in enumerate(zip(x, labels.tolist(), strict=True)):
            if label in classes:
                classes[label].add(row)
            else:
                classes[label] = _Growing(row)
            if (i + 1) % EVERY == 0:
                state = self._test([c.distances for c in classes.values() if len(c.distances) >= EVERY])
            alarm[i] = state
        return alarm

    def _test(self, distances: list[list[float]]) -> bool:
        pooled = np.concatenate(distances) if distances else np.empty(0)
        if len(pooled) <= FEWEST:
            return False
        kept = pooled[np.abs(pooled - pooled.mean()) < OUTLIERS * pooled.std()]
        # All distances alike (a health check's zeros): W is 1 by convention, and SciPy warns.
        return len(kept) > FEWEST and np.ptp(kept) > 0.0 and float(shapiro(kept).statistic) < self.delta


class _Growing:
    """One class's growing set, and all distances to it; the first is 0 by definition."""

    def __init__(self, first: FloatArray) -> None:
        self.rows, self.grown, self.distances, self.threshold = [first], [0.0], [0.0], 0.0

    def add(self, row: FloatArray) -> None:
        """Take the next query of the class."""
        nearest = float(np.sqrt(((np.asarray(self.rows) - row) ** 2).sum(axis=1).min()))
        self.distances.append(nearest)
        if nearest > self.threshold:
            self.rows.append(row)
            self.grown.append(nearest)
            self.threshold = max(self.threshold, float(np.mean(self.grown) - np.std(self.grown)))
