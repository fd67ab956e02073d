"""Which slot a query's session lives in: assignment, expiry by event time, eviction by a bound.

A session is one client's queries on one model under one session id (or none), until a gap of silence; the
kernels apply the gap rule, since they hold each slot's last time. Everything here happens at points that
are counted in queries, never in batches, so cutting the log otherwise changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from detector.pool import longer
from detector.query import FloatArray, IntArray
from detector.records import CLIENT, SESSION, TENANT, Records
from detector.register import Numbered, Register

EXPIRE_EVERY = 65_536
"""Queries between two sweeps of idle sessions."""
CLOCK_EVERY = 64
"""Every this many queries one timestamp is kept; their median is the clock of the next sweep. One client
with a wrong clock cannot move it."""
EVICTED_SHARE = 8
"""When the bound is reached, an eighth of the sessions go at once, so that the search for them is rare."""
BYTES = 16 + 8 + 8 + 4 + 1 + 4
"""Of one session here: its key, its part of the index, its columns."""


class SessionTable(Numbered):
    """Sessions of one model: (client, session, tenant id) to slot, at most `bound` at a time."""

    def __init__(self, bound: int) -> None:
        super().__init__(max(bound, 8))
        self.queries = 0
        self.evicted = 0
        self.evicted_suspicious = 0
        """Since this table was made or restored."""
        self._seen = np.zeros(0, dtype=np.int64)
        self._times: list[float] = []
        self.owner = np.zeros(0, dtype=np.int32)
        """Number of each session's client (`detector.clients`), written by the owner of this table."""
        self._lengthen()

    def rebound(self, bound: int) -> None:
        """Hold at most so many sessions from now on, or as many slots as are in use."""
        self._register.rebound(max(bound, 8))

    @property
    def full(self) -> bool:
        """True when a new session has no slot until `evict` made room."""
        return self._register.exhausted

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return self._register.nbytes + self._seen.nbytes + self.owner.nbytes

    @property
    def sweep_due(self) -> bool:
        """True at every EXPIRE_EVERY-th query, after it was processed."""
        return self.queries > 0 and self.queries % EXPIRE_EVERY == 0 and bool(self._times)

    def assign(self, records: Records, start: int, slot: IntArray, fresh: npt.NDArray[np.bool_]) -> int:
        """Fill slot and fresh from `start` on; returns where it stopped.

        It stops early where the table is full or a sweep is due: the caller processes what was assigned,
        makes room or sweeps, and goes on from there.
        """
        stop = min(len(records), start + EXPIRE_EVERY - self.queries % EXPIRE_EVERY)
        some = records[start:stop]
        found, begun = self._register.enter(some.keys(CLIENT, SESSION, TENANT))
        self._lengthen()
        fresh[start:stop] = False
        fresh[start + begun] = True
        if (left := np.flatnonzero(found < 0)).size:
            stop = start + int(left[0])
        slot[start:stop] = found[: stop - start]
        numbers = np.arange(self.queries + 1, self.queries + 1 + stop - start)
        self._seen[slot[start:stop]] = numbers  # the last of a session's numbers stays
        marked = np.flatnonzero(numbers % CLOCK_EVERY == 0)
        self._times += some.times[marked].tolist()
        self.queries += stop - start
        return stop

    def _lengthen(self) -> None:
        longer(self._seen, self.capacity)
        longer(self.owner, self.capacity)

    def sweep(self, last_times: FloatArray, gap: float) -> IntArray:
        """Free the slots whose last query is more than `gap` before the clock; returns them.

        A client that comes back after such a silence begins a new session anyway.
        """
        clock = float(np.median(self._times))
        self._times.clear()
        return self._release(
            np.flatnonzero(self._register.taken & (last_times[: self.capacity] < clock - gap))
        )

    def evict(self, suspicion: FloatArray) -> IntArray:
        """Free an eighth of the slots, least recently used first, suspicious ones last; returns them.

        suspicion [capacity] is 0 for an ordinary session; higher stays longer.
        """
        used = np.flatnonzero(self._register.taken)
        order = np.lexsort((self._seen[used], suspicion[used]))
        gone = used[order[: max(1, len(used) // EVICTED_SHARE)]]
        self.evicted += len(gone)
        self.evicted_suspicious += int(np.count_nonzero(suspicion[gone]))
        return self._release(gone)

    def _release(self, slots: IntArray) -> IntArray:
        self._register.release(slots)
        return slots

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
        """Everything, as JSON-ready values and arrays."""
        meta = {"queries": self.queries, "evicted": self.evicted, "times": list(self._times)}
        used = self.used
        return meta, {
            "seen": self._seen[:used],
            "owner": self.owner[:used],
            **self._register.state(),
        }

    @classmethod
    def from_state(cls, meta: dict[str, Any], arrays: dict[str, Any], bound: int) -> SessionTable:
        """The inverse of `state`, for `bound` sessions, or as many slots as the state has."""
        table = cls(bound)
        table._register = Register.from_state(arrays, table.bound)
        table._lengthen()
        table.queries, table.evicted, table._times = meta["queries"], meta["evicted"], list(meta["times"])
        used = table.used
        table._seen[:used], table.owner[:used] = arrays["seen"], arrays["owner"]
        return table
