"""A session's odd queries, followed as an entity of their own.

Who mixes nine ordinary queries into each of a search has a session that looks ordinary on average. But most
searches ask for what benign clients seldom do: inputs off the benign values of a column, or farther from the
benign subspace than nine in ten. Among those alone a search stands out again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from detector.columns import QueryBatch
from detector.entities import Entities
from detector.features.inputs import Inputs
from detector.lent import LentSlots, lend
from detector.points import Points, Work
from detector.pool import longer
from detector.query import IntArray
from models.compiled import lean

BYTES = 4 + 1
"""Of a session here: its columns."""
FOLLOWED_FROM = 8
"""The odd query of a session with which following begins: one honest session of 20 queries in 2,000 has so
many."""


@lean
def find_odd(
    start: int,
    stop: int,
    first: int,
    session: Any,
    fresh: Any,
    odd: Any,
    bars: Any,
    count: Any,
    slot_of: Any,
    seen: Any,
    free: Any,
    unused: Any,
    out_slot: Any,
    out_fresh: Any,
) -> int:
    """Find the slot of each odd query start..stop; -1: it is not odd, or one of its session's first.

    session [n] number of the session and fresh [n] whether it begins; odd [n, 2] how strange the input is,
    NaN for a repeat, and bars [2] from where it is odd; count [sessions] odd queries so far, up to
    FOLLOWED_FROM; `first` is the number of query 0; the rest as in `LentSlots`. out_fresh [n]: following
    begins there. Stops early, before a query that needs a slot when none is free. Returns where it stopped.
    """
    for i in range(start, stop):
        s = session[i]
        out_slot[i] = -1
        out_fresh[i] = False
        if fresh[i]:
            count[s] = 0
        if not (odd[i, 0] > bars[0] or odd[i, 1] > bars[1]):
            continue
        if count[s] < FOLLOWED_FROM - 1:
            count[s] += 1
            continue
        begins = count[s] < FOLLOWED_FROM or slot_of[s] < 0
        if not lend(slot_of, free, unused, s):
            return i
        count[s] = FOLLOWED_FROM
        out_fresh[i] = begins
        out_slot[i] = slot_of[s]
        seen[slot_of[s]] = first + i
    return stop


class OddQueries:
    """Followed sessions of a model with inputs of d numbers, at most `bound` at a time."""

    def __init__(self, d: int, sketch: int, bound: int) -> None:
        self.slots = LentSlots(bound)
        self.entities = Entities(self.slots.bound, d, sketch)
        self.entities.grow(self.slots.capacity)
        self._count = np.zeros(0, dtype=np.int8)
        """Odd queries of each session so far, up to FOLLOWED_FROM."""

    def know(self, sessions: int) -> None:
        """Make room for sessions with numbers below `sessions`."""
        self.slots.know(sessions)
        longer(self._count, sessions)

    def follow(
        self,
        batch: QueryBatch,
        inputs: Inputs,
        start: int,
        stop: int,
        first: int,
        work: Work,
        threshold: float,
    ) -> list[Points]:
        """Evaluation points at queries start..stop, as in `find_odd`. What comes near `threshold`, the
        evidence that raises an alert, is evicted last."""
        points: list[Points] = []
        slots = self.slots
        while start < stop:
            done = find_odd(
                start,
                stop,
                first,
                work.slot,
                work.fresh,
                work.odd,
                inputs.odd,
                self._count,
                slots.slot_of,
                slots.seen,
                slots.free,
                slots.unused,
                work.followed,
                work.followed_fresh,
            )
            points += self.entities.measure_all(
                batch, inputs, start, done, work.followed, work.followed_fresh, work.odd
            )
            start = done
            if start < stop:
                self.entities.release(slots.make_room(self.entities.suspicion(threshold)))
                self.entities.grow(slots.capacity)
        return points

    def leave(self, sessions: IntArray) -> None:
        """These sessions are no more."""
        self.entities.release(self.slots.take_back(sessions))
        self._count[sessions] = 0

    def rebound(self, bound: int) -> None:
        """Follow at most so many sessions from now on, or as many as there are slots."""
        self.slots.rebound(bound)
        self.entities.rebound(self.slots.bound)

    @property
    def nbytes(self) -> int:
        """Bytes allocated by session."""
        return self.slots.slot_of.nbytes + self._count.nbytes

    def state(self, sessions: int) -> dict[str, npt.NDArray[np.generic]]:
        """Everything but the entities, of the first `sessions` numbers of sessions."""
        return {
            **self.slots.state(),
            "slot_of": self.slots.slot_of[:sessions],
            "count": self._count[:sessions],
        }

    def load(self, arrays: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.slots.load(arrays)
        used = len(arrays["count"])
        self.know(used)
        self.slots.slot_of[:used], self._count[:used] = arrays["slot_of"], arrays["count"]
        self.entities.rebound(self.slots.bound)
