"""Entities of one kind (sessions, clients or campaigns) of one model: their feature state and their episodes.

Whatever a query is attributed to, the kernels, the features and the models are the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from detector import pool, suspicion
from detector.columns import QueryBatch
from detector.features import layout
from detector.features.catalogue import NAMES
from detector.features.inputs import Inputs
from detector.features.kernel import advance, release_blocks, scratch
from detector.growing import Growing
from detector.points import POINTS, Points
from detector.query import FloatArray, IntArray
from detector.suspicion import Episodes
from models.base import Arrays, under


def bytes_each(d: int, sketch: int) -> int:
    """Bytes that one entity takes, with its share of the blocks."""
    ring = layout.block_type(sketch).itemsize // layout.BLOCK_SHARE
    return _row(d, sketch).itemsize + ring + suspicion.block_bytes() // suspicion.SERIES_SHARE


@lru_cache(layout.LENGTHS)
def _row(d: int, sketch: int) -> np.dtype[np.void]:
    return layout.row_type([*layout.row_fields(d, sketch), *suspicion.ROW_FIELDS])


class Entities:
    """State of at most `bound` entities of a model with inputs of d numbers, sketched by `sketch`.

    `slots` and `episodes` are views of `rows`, one row of bytes an entity, and of the blocks that are lent.
    """

    def __init__(self, bound: int, d: int, sketch: int) -> None:
        self.bound = bound
        self._held = {
            "rows": Growing(np.zeros(layout.FEWEST, dtype=_row(d, sketch))),
            "more": Growing(np.zeros(layout.FEWEST, dtype=layout.block_type(sketch))),
            "series": Growing(suspicion.no_series(0)),
        }
        self.rings = pool.make(layout.blocks_for(bound))
        self.shown = pool.make(suspicion.blocks_for(bound))
        self.counters = np.zeros(2, dtype=np.int64)
        self.changed = {name: np.zeros(len(held.array), dtype=np.uint8) for name, held in self._held.items()}
        """By array: 1 where a row was written to since it was saved."""
        self._view()
        self._row = np.zeros(POINTS, dtype=np.int64)
        self._meta = np.zeros((POINTS, layout.META))
        self._features = np.zeros((POINTS, len(NAMES)))
        self._series = np.zeros((POINTS, layout.RECENT, 2))
        self._scratch = scratch(d, sketch)

    @property
    def rows(self) -> npt.NDArray[np.void]:
        """Of each entity, by slot: [capacity]."""
        return self._held["rows"].array

    @property
    def more(self) -> npt.NDArray[np.void]:
        """Blocks that rings go on in: [blocks]."""
        return self._held["more"].array

    @property
    def series(self) -> npt.NDArray[np.float32]:
        """Blocks for what an alert shows, as in `detector.suspicion`: [blocks, ...]."""
        return self._held["series"].array

    def _lengthen(self, **rows: int) -> None:
        """Have at least so many rows in the arrays named."""
        del self.slots, self.episodes
        for name, wanted in rows.items():
            self._held[name].lengthen(wanted)
        self._view()

    def _view(self) -> None:
        for name, flags in self.changed.items():
            pool.longer(flags, len(self._held[name].array))
        rows, more, series = self.changed.values()
        self.slots = layout.views(self.rows, self.more, self.rings, self.counters, rows, more)
        self.episodes = suspicion.views(self.rows, self.series, self.shown, series)

    @property
    def last_times(self) -> FloatArray:
        """Of each entity's last query: [capacity], a view."""
        return self.slots.times[:, layout.LAST_TIME]

    @property
    def nbytes(self) -> int:
        """Bytes allocated for the entities."""
        arrays = (self.rows, self.more, self.series, self.rings.back, self.shown.back)
        return sum(array.nbytes for array in arrays)

    def rebound(self, bound: int) -> None:
        """Hold at most `bound` entities from now on, and lend blocks for that many."""
        self.bound = bound
        for lent, most in ((self.rings, layout.blocks_for(bound)), (self.shown, suspicion.blocks_for(bound))):
            lent.counters[pool.BOUND] = max(most, lent.counters[pool.HIGH])

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` entities, if there is less."""
        if capacity > len(self.rows):
            self._lengthen(rows=capacity)

    def reserve(self, queries: int = 0, points: int = 0) -> None:
        """Make room for what may be lent at so many queries, and when so many points are judged."""
        entities = len(self.rows)  # each is lent one block of a kind at most
        more, series = len(self.more), len(self.series)
        if self.rings.holds(more, queries, entities) and self.shown.holds(series, points, entities):
            return
        more = min(
            pool.next_size(len(self.more), self.rings.wanted(queries, entities)),
            layout.blocks_for(self.bound),
        )
        series = min(
            pool.next_size(len(self.series), self.shown.wanted(points, entities)),
            suspicion.blocks_for(self.bound),
        )
        if more > len(self.more) or series > len(self.series):
            pool.longer(self.rings.back, more)
            pool.longer(self.shown.back, series)
            self._lengthen(more=more, series=series)

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
        odd: FloatArray,
    ) -> tuple[int, Points]:
        """Account for queries start..stop, or until there are `most` evaluation points, at most POINTS.

        slot [n], fresh [n], gap [s], odd [n, 2] as in `advance`. Returns the next query to account for, and
        the points, as views that the next call overwrites.
        """
        self.reserve(stop - start)
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
            odd,
            self._row,
            self._meta,
            self._features,
            self._series,
            self._scratch,
        )
        rows = self._row[:m]
        return done, Points(rows, slot[rows], self._meta[:m], self._features[:m], self._series[:m])

    def measure_all(
        self,
        batch: QueryBatch,
        inputs: Inputs,
        start: int,
        stop: int,
        slot: IntArray,
        fresh: Any,
        odd: FloatArray,
    ) -> list[Points]:
        """Account for queries start..stop of entities that no silence ends; all their points, copied."""
        parts: list[Points] = []
        if not (slot[start:stop] >= 0).any():
            return parts
        while start < stop:
            start, points = self.measure(batch, inputs, np.inf, start, stop, POINTS, slot, fresh, odd)
            if len(points):
                parts.append(points.copy())
        return parts

    def measure_anew(self) -> None:
        """Begin anew with the next query of each entity: what was measured in other units is forgotten."""
        self.slots.ring_used[self.slots.counts[:, layout.QUERIES] > 0] = layout.TO_BE_ANEW
        self.slots.changed[:] = 1

    def take_over(self, slots: IntArray, serials: IntArray, episodes: Episodes, places: IntArray) -> None:
        """Those entities in `slots` [k] that still have these serials [k] go on with the evidence and the
        episodes at `places` [k]."""
        counts = self.slots.counts
        open_still = (counts[slots, layout.QUERIES] > 0) & (counts[slots, layout.SERIAL] == serials)
        suspicion.copy(episodes, places[open_still], self.episodes, slots[open_still])
        self.slots.changed[slots[open_still]] = 1

    def suspicion(self, threshold: float) -> FloatArray:
        """Evidence where it is worth keeping an entity for, else 0: [capacity]."""
        worth = (self.episodes.evidence > 0.25 * threshold) | (self.episodes.counts[:, suspicion.OPEN] > 0)
        return np.where(worth, self.episodes.evidence, 0.0)

    def release(self, gone: IntArray) -> None:
        """Forget the entities in these slots."""
        release_blocks(self.slots, gone)
        self.slots.counts[gone, layout.QUERIES] = 0
        self.slots.changed[gone] = 1
        suspicion.forget(self.episodes, gone)

    def state(self, used: int) -> Arrays:
        """Everything of the first `used` entities, as arrays; rows as their bytes."""
        lent = int(self.rings.counters[pool.HIGH])
        shown = int(self.shown.counters[pool.HIGH])
        return {
            "rows": _bytes(self.rows[:used]),
            "more": _bytes(self.more[:lent]),
            "series": self.series[:shown],
            "counters": self.counters,
            **{f"rings/{name}": array for name, array in pool.state(self.rings).items()},
            **{f"shown/{name}": array for name, array in pool.state(self.shown).items()},
        }

    def load(self, arrays: Arrays) -> None:
        """The inverse of `state`; bounds that are smaller than what was saved give way."""
        self._lengthen(**{name: len(arrays[name]) for name in self._held})
        for name, kept in (("rows", self.rows), ("more", self.more)):
            rows = np.ascontiguousarray(arrays[name])
            kept[: len(rows)] = rows.reshape(-1).view(kept.dtype)
        self.series[: len(arrays["series"])] = arrays["series"]
        self.counters[:] = arrays["counters"]
        self.rings = pool.load(under(arrays, "rings/"), layout.blocks_for(self.bound), len(self.more))
        self.shown = pool.load(under(arrays, "shown/"), suspicion.blocks_for(self.bound), len(self.series))
        self._view()


def _bytes(rows: npt.NDArray[np.void]) -> npt.NDArray[np.uint8]:
    return rows.view(np.uint8).reshape(len(rows), rows.itemsize)
