"""Slots that are lent to some of many owners, clients or sessions: who has which, and who gives way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from detector.pool import longer
from detector.query import FloatArray, IntArray
from detector.register import FIRST_CAPACITY
from detector.sessions import EVICTED_SHARE
from models.compiled import inlined

LEAST = 8
"""There are at least so many slots."""


@inlined
def lend(slot_of: Any, free: Any, unused: Any, owner: int) -> bool:
    """Give the owner a slot, unless it has one; False when none is free. Arrays as in `LentSlots`."""
    if slot_of[owner] < 0:
        if unused[0] == 0:
            return False
        unused[0] -= 1
        slot_of[owner] = free[unused[0]]
    return True


class LentSlots:
    """At most `bound` slots. Kernels lend them; `make_room` takes some back when none is free.

    slot_of [owners] int32 slot or -1; seen [capacity] number of the query that used a slot last; free
    [capacity] stack of slots that nobody has, unused [1] its height.
    """

    def __init__(self, bound: int) -> None:
        self.bound = max(bound, LEAST)
        self.capacity = min(FIRST_CAPACITY, self.bound)
        self.slot_of = np.zeros(0, dtype=np.int32)
        self.seen = np.zeros(self.capacity, dtype=np.int64)
        self.free = np.arange(self.capacity - 1, -1, -1, dtype=np.int64)
        self.unused = np.array([self.capacity], dtype=np.int64)
        self.freed = self.freed_suspicious = 0
        """Slots that were taken from owners for others, since this was made or restored."""

    def rebound(self, bound: int) -> None:
        """Lend at most so many slots from now on, or as many as there are."""
        self.bound = max(bound, LEAST, self.capacity)

    def know(self, owners: int) -> None:
        """Make room for owners with numbers below `owners`."""
        before = len(self.slot_of)
        longer(self.slot_of, owners)
        self.slot_of[before:] = -1

    def take_back(self, owners: IntArray) -> IntArray:
        """These owners are no more: the slots that they had."""
        slots = self.slot_of[owners].astype(np.int64)
        self.slot_of[owners] = -1
        return self._release(slots[slots >= 0])

    def make_room(self, suspicion: FloatArray) -> IntArray:
        """Add slots, or free an eighth, least recently used first, suspicious ones last; returns those.

        suspicion [capacity] is 0 for an ordinary owner; higher stays longer.
        """
        if self.capacity < self.bound:
            wider = min(2 * self.capacity, self.bound)
            self.free = np.zeros(wider, dtype=np.int64)
            fresh = np.arange(wider - 1, self.capacity - 1, -1)
            self.free[: len(fresh)], self.unused[0] = fresh, len(fresh)
            self.seen = np.concatenate([self.seen, np.zeros(wider - self.capacity, dtype=np.int64)])
            self.capacity = wider
            return np.empty(0, dtype=np.int64)
        order = np.lexsort((self.seen, suspicion[: self.capacity]))
        gone = order[: max(1, self.capacity // EVICTED_SHARE)]
        self.slot_of[np.isin(self.slot_of, gone)] = -1
        self.freed += len(gone)
        self.freed_suspicious += int(np.count_nonzero(suspicion[gone]))
        return self._release(gone)

    def _release(self, slots: IntArray) -> IntArray:
        for s in sorted(slots.tolist(), reverse=True):
            self.free[self.unused[0]] = s
            self.unused[0] += 1
        return slots

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """What is to be saved beside `slot_of`; the bound is not."""
        # What lies above the top of the stack of free slots is left over from earlier.
        free = np.where(np.arange(self.capacity) < self.unused[0], self.free, -1)
        return {"seen": self.seen, "free_slots": free, "unused": self.unused}

    def load(self, arrays: dict[str, Any]) -> None:
        """The inverse of `state`; a bound that is smaller than what was saved gives way."""
        self.seen, self.free, self.unused = (
            np.array(arrays[name], dtype=np.int64) for name in ("seen", "free_slots", "unused")
        )
        self.capacity = len(self.seen)
        self.bound = max(self.bound, self.capacity)
