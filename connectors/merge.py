"""Several logs as one, by the time of their records."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

import numpy as np

from detector.query import FloatArray, Record
from detector.records import as_records

Batch = Sequence[Record]
COLUMNS = 64
"""Records of one log in a row that are worth being kept as the columns that they came in."""


class _Log:
    """What is yet to come of one log; a record's key is the newest time of its log so far, so that a late one
    keeps its place."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._batch: Batch = ()
        self._records: list[Record] | None = None
        self._keys: FloatArray = np.empty(0)
        self._row = 0

    def fill(self) -> bool:
        """Whether there is another record; `key` is its key."""
        while self._row == len(self._batch):
            newest = self._keys[-1:]
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._batch, self._records, self._row = batch, None, 0
            self._keys = np.maximum.accumulate(np.append(newest, as_records(batch).times))[len(newest) :]
        return True

    @property
    def key(self) -> float:
        return float(self._keys[self._row])

    def take(self, bound: float, *, ties: bool) -> Batch:
        """The records whose keys are below a bound, or with `ties` at most that, of those that are held."""
        row = self._row
        self._row = row + int(np.searchsorted(self._keys[row:], bound, side="right" if ties else "left"))
        if self._row - row >= COLUMNS:
            return self._batch[row : self._row]
        if self._records is None:
            self._records = list(self._batch)
        return self._records[row : self._row]


def merge(logs: Sequence[Iterator[Batch]]) -> Iterator[tuple[int, Batch]]:
    """Yield the records of several logs by time, ties by the logs' order: the number of a log, and some of
    its records in a row.

    Each log's own order is kept, even where its times go back. Holds one batch a log.
    """
    coming = [(log.key, number, log) for number, log in enumerate(map(_Log, logs)) if log.fill()]
    heapq.heapify(coming)
    while coming:
        _, number, log = coming[0]
        bound, other, _ = min(coming[1:3], default=(math.inf, len(logs), log))
        yield number, log.take(bound, ties=number < other)
        if log.fill():
            heapq.heapreplace(coming, (log.key, number, log))
        else:
            heapq.heappop(coming)


class LateCounter:
    """Counts records more than `window_seconds` behind the newest time seen before them."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._newest = float("-inf")
        self.late = 0

    def add(self, timestamps: Sequence[float] | FloatArray) -> None:
        """Take the times of the next records, in order."""
        newest = np.maximum.accumulate(np.array([self._newest, *timestamps]))
        self.late += int((newest[1:] - self._window > np.array(timestamps)).sum())
        self._newest = float(newest[-1])
