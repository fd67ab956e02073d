"""Which slot a query's session lives in: assignment, expiry by event time, eviction by a bound.

A session is one client's queries on one model under one session id (or none), until a gap of silence; the
kernels apply the gap rule, since they hold each slot's last time. Everything here happens at points that
are counted in queries, never in batches, so cutting the log otherwise changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.query import FloatArray, IntArray, Record

EXPIRE_EVERY = 65_536
"""Queries between two sweeps of idle sessions."""
CLOCK_EVERY = 64
"""Every this many queries one timestamp is kept; their median is the clock of the next sweep. One client
with a wrong clock cannot move it."""
EVICTED_SHARE = 8
"""When the bound is reached, an eighth of the sessions go at once, so that the search for them is rare."""
FIRST_CAPACITY = 64

Key = tuple[str, str, str]


class SessionTable:
    """Sessions of one model: (client, session, tenant id) to slot, at most `bound` at a time."""

    def __init__(self, bound: int) -> None:
        self.bound = max(bound, 8)
        self.capacity = min(FIRST_CAPACITY, self.bound)
        self.queries = 0
        self.evicted = 0
        self.evicted_suspicious = 0
        """Since this table was made or restored."""
        self._slots: dict[Key, int] = {}
        self._keys: list[Key | None] = [None] * self.capacity
        self._free = list(range(self.capacity - 1, -1, -1))
        self._seen = np.zeros(self.capacity, dtype=np.int64)
        self._times: list[float] = []
        self.owner = np.full(self.capacity, -1, dtype=np.int64)
        """Number of each session's client (`detector.clients`), written by the owner of this table."""

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def full(self) -> bool:
        """True when a new session has no slot until `evict` made room."""
        return not self._free and self.capacity >= self.bound

    @property
    def sweep_due(self) -> bool:
        """True at every EXPIRE_EVERY-th query, after it was processed."""
        return self.queries > 0 and self.queries % EXPIRE_EVERY == 0 and bool(self._times)

    def assign(
        self, records: Sequence[Record], start: int, slot: IntArray, fresh: npt.NDArray[np.bool_]
    ) -> int:
        """Fill slot and fresh from `start` on; returns where it stopped.

        It stops early where the table is full or a sweep is due: the caller processes what was assigned,
        makes room or sweeps, and goes on from there.
        """
        stop = min(len(records), start + EXPIRE_EVERY - self.queries % EXPIRE_EVERY)
        keys = [(r.client_id, r.session_id, r.tenant_id) for r in records[start:stop]]
        known = self._slots.get
        found = [known(key, -1) for key in keys]
        fresh[start:stop] = False
        if -1 in found:
            for i in [i for i, s in enumerate(found) if s < 0]:
                s = known(keys[i], -1)  # perhaps begun a few queries ago
                if s < 0:
                    if not self._free and not self._grow():
                        stop = start + i
                        break
                    s = self._begin(keys[i])
                    fresh[start + i] = True
                found[i] = s
        slot[start:stop] = found[: stop - start]
        numbers = np.arange(self.queries + 1, self.queries + 1 + stop - start)
        self._seen[slot[start:stop]] = numbers  # the last of a session's numbers stays
        self._times += [
            records[start + i].timestamp for i in np.flatnonzero(numbers % CLOCK_EVERY == 0).tolist()
        ]
        self.queries += stop - start
        return stop

    def _begin(self, key: Key) -> int:
        """A free slot for a new session."""
        s = self._free.pop()
        self._slots[key] = s
        self._keys[s] = key
        return s

    def client_of(self, slot: int) -> tuple[str, str]:
        """(client id, tenant id) of the session in a slot that is taken."""
        key = self._keys[slot]
        return ("", "") if key is None else (key[0], key[2])

    def _grow(self) -> bool:
        if self.capacity >= self.bound:
            return False
        wider = min(2 * self.capacity, self.bound)
        self._free = list(range(wider - 1, self.capacity - 1, -1))
        self._keys.extend([None] * (wider - self.capacity))
        self._seen = np.concatenate([self._seen, np.zeros(wider - self.capacity, dtype=np.int64)])
        self.owner = np.concatenate([self.owner, np.full(wider - self.capacity, -1, dtype=np.int64)])
        self.capacity = wider
        return True

    def sweep(self, last_times: FloatArray, gap: float) -> IntArray:
        """Free the slots whose last query is more than `gap` before the clock; returns them.

        A client that comes back after such a silence begins a new session anyway.
        """
        clock = float(np.median(self._times))
        self._times.clear()
        idle = [s for s in self._slots.values() if last_times[s] < clock - gap]
        return self._release(idle)

    def evict(self, suspicion: FloatArray) -> IntArray:
        """Free an eighth of the slots, least recently used first, suspicious ones last; returns them.

        suspicion [capacity] is 0 for an ordinary session; higher stays longer.
        """
        used = np.array(sorted(self._slots.values()), dtype=np.int64)
        order = np.lexsort((self._seen[used], suspicion[used]))
        gone = used[order[: max(1, len(used) // EVICTED_SHARE)]]
        self.evicted += len(gone)
        self.evicted_suspicious += int(np.count_nonzero(suspicion[gone]))
        return self._release(gone.tolist())

    def _release(self, slots: list[int]) -> IntArray:
        for s in slots:
            key = self._keys[s]
            if key is not None:
                del self._slots[key]
            self._keys[s] = None
        self._free.extend(sorted(slots, reverse=True))
        return np.array(slots, dtype=np.int64)

    def state(self) -> dict[str, Any]:
        """Everything, as JSON-ready values."""
        return {
            "queries": self.queries,
            "evicted": self.evicted,
            "keys": self._keys,
            "free": self._free,
            "seen": self._seen.tolist(),
            "times": self._times,
            "owner": self.owner.tolist(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], bound: int) -> SessionTable:
        """The inverse of `state`, for `bound` sessions, or as many slots as the state has."""
        table = cls(max(bound, len(state["keys"])))
        table.queries, table.evicted = state["queries"], state["evicted"]
        table._keys = [None if key is None else (key[0], key[1], key[2]) for key in state["keys"]]
        table.capacity = len(table._keys)
        table._slots = {key: s for s, key in enumerate(table._keys) if key is not None}
        table._free = list(state["free"])
        table._seen = np.array(state["seen"], dtype=np.int64)
        table._times = list(state["times"])
        table.owner = np.array(state["owner"], dtype=np.int64)
        return table
