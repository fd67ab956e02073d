"""Stateful Detection (Chen, Carlini and Wagner 2020): a client's query is close to its own earlier ones."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.peers.base import Stream
from benchmarks.traces.recording import BoolArray
from detector.query import FloatArray

NEIGHBOURS, PERCENTILE = 50, 0.1


class StatefulDetection:
    """Mean distance to the 50 nearest earlier queries of the client below a threshold: an alarm, and the
    memory is cleared, as the account would be banned. The threshold is the 0.1th percentile of the same
    statistic within the training data, each row counted as its own neighbour, as the code does. The paper
    compares encodings of images by a trained network; here inputs are compared as they are."""

    name = "Stateful Detection"

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """Calibrated on the model's training data."""
        data = trace.target.dataset
        threshold = self._threshold(data.to_unit(data.train))
        alarm = np.zeros(len(trace), dtype=np.bool_)
        for mine in trace.by_client():
            stored: list[FloatArray] = []
            if len(mine) <= NEIGHBOURS:
                continue
            for position, row in zip(mine.tolist(), trace.unit[mine], strict=True):
                stored.append(row)
                if len(stored) <= NEIGHBOURS:
                    continue
                away = np.sqrt(((np.asarray(stored[:-1]) - row) ** 2).sum(axis=1))
                if np.partition(away, NEIGHBOURS - 1)[:NEIGHBOURS].mean() < threshold:
                    alarm[position] = True
                    stored.clear()
        return alarm

    @staticmethod
    def _threshold(rows: FloatArray) -> float:
        k = min(NEIGHBOURS, len(rows) - 1)
        means = [float(np.sort(np.sqrt(((rows - row) ** 2).sum(axis=1)))[:k].mean()) for row in rows]
        return float(np.percentile(means, PERCENTILE))
