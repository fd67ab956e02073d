"""Clients of one model: who has been seen with more than one session, and in which slot each is followed.

Every client of an open session has a number here, and keeps it for long afterwards: a search that waits
longer than the gap between two queries, or changes its session id all the time, is one client's. From its
second session on, a client is an entity of its own with a slot for its features. A client with one session
is that session.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.policy import KINDS
from detector.query import IntArray
from detector.sessions import EVICTED_SHARE, FIRST_CAPACITY, SessionTable

BYTES = 400
"""Of one client without a slot: its key and its columns."""
PER_SESSION = 2
"""Clients remembered for each session that there is room for."""

Client = tuple[str, str]


def _number(tenant: str) -> int:
    """A number for a tenant id, 63 bits of its hash: tenants are told apart without a list of them."""
    return int.from_bytes(hashlib.sha256(tenant.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


class ClientTable:
    """Numbers of clients, at most `bound`, and which of `slots` slots each one has.

    Columns by number: sessions begun, `entity` slot or -1, `serial` never given twice, `tenant`, `heard` for
    `detector.policy.judge`. `bound` must exceed the sessions that can be open at a time.
    """

    def __init__(self, bound: int, slots: int) -> None:
        self.bound = bound
        self.slot_bound = max(slots, 8)
        self.capacity = min(FIRST_CAPACITY, bound)
        self.slot_capacity = min(FIRST_CAPACITY, self.slot_bound)
        self.evicted = 0
        self.freed = self.freed_suspicious = 0
        """Slots that were taken from clients for others, since this was made or restored."""
        self._starts = 0
        self._numbers: dict[Client, int] = {}
        self._keys: list[Client | None] = [None] * self.capacity
        self._free = list(range(self.capacity - 1, -1, -1))
        self._last_start = np.zeros(self.capacity, dtype=np.int64)
        self._open = np.zeros(self.capacity, dtype=np.int64)
        self.sessions = np.zeros(self.capacity, dtype=np.int64)
        self.entity = np.full(self.capacity, -1, dtype=np.int64)
        self.serial = np.zeros(self.capacity, dtype=np.int64)
        self.tenant = np.zeros(self.capacity, dtype=np.int64)
        self.heard = np.full((self.capacity, KINDS), -1, dtype=np.int64)
        self.seen = np.zeros(self.slot_capacity, dtype=np.int64)
        self.free_slots = np.arange(self.slot_capacity - 1, -1, -1, dtype=np.int64)
        self.unused = np.array([self.slot_capacity], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    def join(self, table: SessionTable, start: int, stop: int, slot: IntArray, fresh: Any) -> int:
        """Number the clients of the sessions that begin at queries start..stop.

        Stops early, before a query whose client needs a number when none is free; returns where.
        """
        for i in (start + np.flatnonzero(fresh[start:stop])).tolist():
            key = table.client_of(int(slot[i]))
            c = self._numbers.get(key, -1)
            if c < 0:
                if not self._free and not self._grow():
                    return int(i)
                c = self._free.pop()
                self._numbers[key], self._keys[c] = c, key
                self.serial[c], self.tenant[c] = self._starts, _number(key[1])
            self._starts += 1
            self._last_start[c] = self._starts
            self._open[c] += 1
            table.owner[slot[i]] = c
        return stop

    def leave(self, owners: IntArray) -> None:
        """Sessions of these clients, one entry a session, are open no longer."""
        np.subtract.at(self._open, owners, 1)

    def _grow(self) -> bool:
        if self.capacity >= self.bound:
            return False
        more = min(self.capacity, self.bound - self.capacity)
        self._free = list(range(self.capacity + more - 1, self.capacity - 1, -1))
        self._keys.extend([None] * more)

        def longer(column: IntArray, value: int) -> IntArray:
            return np.concatenate([column, np.full((more, *column.shape[1:]), value, dtype=np.int64)])

        self._last_start, self._open = longer(self._last_start, 0), longer(self._open, 0)
        self.sessions, self.serial = longer(self.sessions, 0), longer(self.serial, 0)
        self.tenant = longer(self.tenant, 0)
        self.entity, self.heard = longer(self.entity, -1), longer(self.heard, -1)
        self.capacity += more
        return True

    def evict(self) -> tuple[IntArray, IntArray]:
        """Forget an eighth of the clients without an open session, those first whose last session began
        longest ago. Returns their numbers and the slots that this frees."""
        idle = np.array([c for c in self._numbers.values() if self._open[c] == 0], dtype=np.int64)
        gone = idle[np.argsort(self._last_start[idle])][: max(1, len(self._numbers) // EVICTED_SHARE)]
        slots = self.entity[gone]
        for c in gone.tolist():
            key = self._keys[c]
            if key is not None:
                del self._numbers[key]
            self._keys[c] = None
        self._free.extend(sorted(gone.tolist(), reverse=True))
        self.sessions[gone], self.entity[gone], self.heard[gone] = 0, -1, -1
        self.evicted += len(gone)
        return gone, self._release(slots[slots >= 0])

    def make_room(self, suspicion: Any) -> IntArray:
        """Add slots, or free an eighth, least recently used first, suspicious ones last; returns those.

        suspicion [slot capacity] is 0 for an ordinary client; higher stays longer.
        """
        if self.slot_capacity < self.slot_bound:
            wider = min(2 * self.slot_capacity, self.slot_bound)
            self.free_slots = np.zeros(wider, dtype=np.int64)
            fresh = np.arange(wider - 1, self.slot_capacity - 1, -1)
            self.free_slots[: len(fresh)], self.unused[0] = fresh, len(fresh)
            self.seen = np.concatenate([self.seen, np.zeros(wider - self.slot_capacity, dtype=np.int64)])
            self.slot_capacity = wider
            return np.empty(0, dtype=np.int64)
        used = np.arange(self.slot_capacity)
        order = np.lexsort((self.seen[used], suspicion[used]))
        gone = used[order[: max(1, len(used) // EVICTED_SHARE)]]
        self.entity[np.isin(self.entity, gone)] = -1
        self.freed += len(gone)
        self.freed_suspicious += int(np.count_nonzero(suspicion[gone]))
        return self._release(gone)

    def _release(self, slots: IntArray) -> IntArray:
        for s in sorted(slots.tolist(), reverse=True):
            self.free_slots[self.unused[0]] = s
            self.unused[0] += 1
        return slots

    def names(self, numbers: IntArray) -> list[str]:
        """Client ids, sorted."""
        return sorted(key[0] for key in (self._keys[c] for c in numbers.tolist()) if key is not None)

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
        """Everything, as JSON-ready values and arrays."""
        meta = {"evicted": self.evicted, "starts": self._starts, "keys": self._keys, "free": self._free}
        # What lies above the top of the stack of free slots is left over from earlier.
        free = np.where(np.arange(self.slot_capacity) < self.unused[0], self.free_slots, -1)
        return meta, {
            "last_start": self._last_start,
            "open": self._open,
            "sessions": self.sessions,
            "entity": self.entity,
            "serial": self.serial,
            "tenant": self.tenant,
            "heard": self.heard,
            "seen": self.seen,
            "free_slots": free,
            "unused": self.unused,
        }

    def load(self, meta: dict[str, Any], arrays: dict[str, Any]) -> None:
        """The inverse of `state`; bounds that are smaller than what was saved give way."""
        self.evicted, self._starts = meta["evicted"], meta["starts"]
        self._keys = [None if key is None else (key[0], key[1]) for key in meta["keys"]]
        self._numbers = {key: c for c, key in enumerate(self._keys) if key is not None}
        self._free = list(meta["free"])

        def column(name: str) -> IntArray:
            return np.array(arrays[name], dtype=np.int64)

        self._last_start, self._open = column("last_start"), column("open")
        self.sessions, self.entity, self.serial = column("sessions"), column("entity"), column("serial")
        self.tenant = column("tenant")
        self.heard, self.seen = column("heard"), column("seen")
        self.free_slots, self.unused = column("free_slots"), column("unused")
        self.capacity, self.slot_capacity = len(self._keys), len(self.seen)
        self.bound = max(self.bound, self.capacity)
        self.slot_bound = max(self.slot_bound, self.slot_capacity)
