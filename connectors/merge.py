"""Several logs as one, by the time of their records."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np

from detector.query import FloatArray, Record

_Keyed = tuple[float, int, Record]


def _keyed(stream: Iterator[Record], position: int) -> Iterator[_Keyed]:
    """Records with the newest time so far as their key, so that a late one keeps its place in its file."""
    newest = float("-inf")
    for record in stream:
        newest = max(newest, record.timestamp)
        yield newest, position, record


def merge(streams: Sequence[Iterator[Record]]) -> Iterator[Record]:
    """Yield the records of several streams by time, ties by the streams' order.

    Each stream's own order is kept, even where its times go back. Holds one record a stream.
    """
    keyed = [_keyed(stream, position) for position, stream in enumerate(streams)]
    for _, _, record in heapq.merge(*keyed, key=itemgetter(0, 1)):
        yield record


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
