"""A sample of a model's inputs, which its units are learned from."""

from __future__ import annotations

import numpy as np

from detector.contamination import thinned
from detector.query import FloatArray, IntArray

SAMPLE_QUERIES = 1024
"""Inputs seen before units are learned from them, when nothing was handed in."""
AGAIN = 4 * SAMPLE_QUERIES
"""Inputs seen before they are learned again while the prior judges: a search among the first few clients
bends them, among many it does not."""
SAMPLE_ROWS = 4096
"""Inputs kept at most, drawn evenly from all that came."""
SAMPLE_NUMBERS = 2**23
"""Numbers kept at most in that sample; long inputs are sampled more thinly."""
KEPT_NUMBERS = 2**22
"""The same while a service runs, where each model has its sample: 32 MiB."""
MINIMUM_ROWS = 64
"""Inputs that units are learned from at least, if there are so many."""
OF_OWNER = 16
"""Inputs of one client that teach the units at most, if half of the sample is left."""


class InputSample:
    """An even random sample of the inputs seen (Vitter's algorithm R, 1985, with a fixed generator)."""

    def __init__(self, d: int, numbers: int = SAMPLE_NUMBERS) -> None:
        self.rows: FloatArray = np.empty((0, d))
        self.owners: IntArray = np.empty(0, dtype=np.int64)
        self.seen = 0
        self._most = max(64, min(SAMPLE_ROWS, numbers // d))

    def add(self, x: FloatArray, owners: IntArray) -> None:
        """See rows x [n, d], in order, and whose they are [n]."""
        room = max(0, self._most - len(self.rows))
        if room:
            self.rows = np.vstack([self.rows, x[:room]])
            self.owners = np.concatenate([self.owners, owners[:room]])
        for i in range(room, len(x)):
            place = _draw(self.seen + i + 1)
            if place < self._most:
                self.rows[place], self.owners[place] = x[i], owners[i]
        self.seen += len(x)

    @property
    def enough(self) -> bool:
        """Whether units can be learned, and have been."""
        return self.seen >= SAMPLE_QUERIES

    def room(self) -> int:
        """Inputs until units are to be learned, or learned again; 0 after the last time."""
        return next((at - self.seen for at in (SAMPLE_QUERIES, AGAIN) if at > self.seen), 0)

    def balanced(self, without: IntArray) -> FloatArray:
        """Of each owner but those `without` as many of the rows as leave half of them all, at least OF_OWNER:
        a few long attacks must not bend the units, nor may they rest on a few rows where one client sends
        nearly all. With nobody else left, all of the rows."""
        others = ~np.isin(self.owners, without)
        if others.sum() < MINIMUM_ROWS:
            return self.rows
        rows, owners = self.rows[others], self.owners[others]
        most = OF_OWNER
        while (keep := thinned(owners, most)).sum() < len(owners) / 2:
            most *= 2
        return rows[keep]


def _draw(n: int) -> int:
    """A fixed pseudo-random number in [0, n) that depends on n only (splitmix64)."""
    mask = (1 << 64) - 1
    z = (n * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return int((z ^ (z >> 31)) % n)
