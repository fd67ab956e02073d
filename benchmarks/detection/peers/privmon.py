"""PrivMon (Ko et al. 2023): nearest neighbours within a sliding window over the whole stream."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.peers.base import Stream
from benchmarks.traces.recording import BoolArray
from detector.query import FloatArray

WINDOW, OVERLAP, NEIGHBOURS = 5000, 2000, 2
KEEP, PERCENTILE = 0.03 / 0.07, 0.1


class PrivMon:
    """Mean distance to the two nearest of up to 5,000 earlier queries of any client below a threshold. When
    the window is full it rolls: of its queries, at most 2,000 that were suspicious (below 3/7 of the
    threshold) stay. The original compares LPIPS features, found by locality-sensitive hashing; here inputs
    are compared as they are and exactly. Its threshold was set by hand for LPIPS; here it is the 0.1th
    percentile of the statistic among the training data's distinct rows: with copies, a table of few values
    would give a threshold of 0, which nothing is below."""

    name = "PrivMon"

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """Calibrated on the model's training data."""
        data = trace.target.dataset
        threshold = self._threshold(data.to_unit(data.train))
        window = np.empty((WINDOW, trace.unit.shape[1]))
        squares, nearest = np.empty(WINDOW), np.empty(WINDOW)
        held = 0
        alarm = np.zeros(len(trace), dtype=np.bool_)
        for i, row in enumerate(trace.unit):
            if held == WINDOW:
                kept = np.flatnonzero(nearest < KEEP * threshold)[-OVERLAP:]
                held = kept.size
                for array in (window, squares, nearest):
                    array[:held] = array[kept]
            square = float(row @ row)
            distance = np.inf
            if held >= NEIGHBOURS:
                away = squares[:held] - 2.0 * (window[:held] @ row) + square
                two = np.partition(away, NEIGHBOURS - 1)[:NEIGHBOURS]
                distance = float(np.sqrt(np.maximum(two, 0.0)).mean())
            alarm[i] = distance < threshold
            window[held], squares[held], nearest[held] = row, square, distance
            held += 1
        return alarm

    @staticmethod
    def _threshold(data: FloatArray) -> float:
        rows = np.unique(data, axis=0)
        means = [
            float(np.sort(np.sqrt(((rows - row) ** 2).sum(axis=1)))[1 : NEIGHBOURS + 1].mean())
            for row in rows
        ]
        return float(np.percentile(means, PERCENTILE))
