"""Entities of one kind (sessions, or clients) of one model: their feature state and their episodes.

Whatever a query is attributed to, the kernels, the features and the models are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detector import policy
from detector.features import layout
from detector.features.catalogue import NAMES
from detector.features.inputs import Inputs
from detector.features.kernel import advance, release_track
from detector.query import FloatArray, IntArray, QueryBatch

POINTS = 512
"""Evaluation points that are written at one go."""


def bytes_each(d: int, sketch: int) -> int:
    """Bytes that one entity takes."""
    return layout.bytes_per_session(d, sketch) + policy.bytes_per_session()


@dataclass(frozen=True, slots=True)
class Points:
    """Evaluation points [m]: row in the batch, slot, what `advance` wrote of each."""

    rows: IntArray
    slots: IntArray
    meta: FloatArray
    features: FloatArray
    series: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    def copy(self) -> Points:
        """The same points, which nothing overwrites later."""
        return Points(
            self.rows.copy(), self.slots, self.meta.copy(), self.features.copy(), self.series.copy()
        )


def join(parts: list[Points], order: IntArray | None = None) -> Points:
    """Points one after another, or in the `order` given [m]."""
    rows = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("rows", "slots", "meta", "features", "series")
    ]
    return Points(*(rows if order is None else [column[order] for column in rows]))


class Entities:
    """State of `capacity` entities of a model with inputs of d numbers, sketched by `sketch`."""

    def __init__(self, capacity: int, d: int, sketch: int) -> None:
        self.slots = layout.allocate(capacity, d, sketch)
        self.episodes = policy.allocate(capacity)
        self._row = np.zeros(POINTS, dtype=np.int64)
        self._meta = np.zeros((POINTS, layout.META))
        self._features = np.zeros((POINTS, len(NAMES)))
        self._series = np.zeros((POINTS, layout.RECENT, 2))

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` entities, if there is less."""
        if capacity > len(self.slots.track):
            self.slots = layout.grow(self.slots, capacity)
            self.episodes = policy.grow(self.episodes, capacity)

    def measure(
        self,
        batch: QueryBatch,
        inputs: Inputs,
        gap: float,
        start: int,
        stop: int,
        most: int,
        slot: IntArray,
        fresh: Any,
    ) -> tuple[int, Points]:
        """Account for queries start..stop, or until there are `most` evaluation points, at most POINTS.

        slot [n], fresh [n], gap [s] as in `advance`. Returns the next query to account for, and the
        points, as views that the next call overwrites.
        """
        done, m = advance(
            self.slots,
            inputs,
            gap,
            start,
            stop,
            min(most, POINTS),
            slot,
            fresh,
            batch.inputs,
            batch.inputs.view(np.int64),
            batch.probabilities,
            batch.confidence,
            batch.margin,
            batch.labels,
            batch.timestamps,
            self._row,
            self._meta,
            self._features,
            self._series,
        )
        rows = self._row[:m]
        return done, Points(rows, slot[rows], self._meta[:m], self._features[:m], self._series[:m])

    def measure_all(
        self, batch: QueryBatch, inputs: Inputs, start: int, stop: int, slot: IntArray, fresh: Any
    ) -> list[Points]:
        """Account for queries start..stop of entities that no silence ends; all their points, copied."""
        parts = []
        while start < stop:
            start, points = self.measure(batch, inputs, np.inf, start, stop, POINTS, slot, fresh)
            if len(points):
                parts.append(points.copy())
        return parts

    def measure_anew(self) -> None:
        """Begin anew with the next query of each entity: what was measured in other units is forgotten."""
        self.slots.scalars[self.slots.scalars[:, layout.QUERIES] > 0, layout.RESTART] = 1.0

    def suspicion(self, threshold: float) -> FloatArray:
        """Evidence where it is worth keeping an entity for, else 0: [capacity]."""
        worth = (self.episodes.evidence > 0.25 * threshold) | (self.episodes.counts[:, policy.OPEN] > 0)
        return np.where(worth, self.episodes.evidence, 0.0)

    def release(self, gone: IntArray) -> None:
        """Forget the entities in these slots."""
        for s in gone:
            release_track(self.slots, s)
        self.slots.scalars[gone, layout.QUERIES] = 0.0
        self.episodes.evidence[gone] = 0.0
        self.episodes.counts[gone] = 0
