"""Clients of one model: who has been seen with more than one session, and in which slot each is followed.

Every client of an open session has a number here, and keeps it for long afterwards: a search that waits
longer than the gap between two queries, or changes its session id all the time, is one client's. From its
second session in a stretch on (`detector.following`), a client is an entity of its own with a slot for its
features. A client with one session is that session.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.habits import NOBODY, Known, none_of
from detector.keys import Keys
from detector.lent import LentSlots
from detector.policy import KINDS
from detector.pool import longer
from detector.query import FloatArray, IntArray
from detector.records import CLIENT, TENANT, Records
from detector.register import Numbered, Register
from detector.sessions import EVICTED_SHARE

BYTES = 16 + 8 + 4 * 8 + 8 * KINDS + 6 * 4 + 1 + 4 * 8 + 10 + 80
"""Of one client without a slot: its key, its part of the index, its columns here and in `detector.links`,
and its name."""
PER_SESSION = 2
"""Clients remembered for each session that there is room for."""


@lru_cache(maxsize=1024)
def _number(tenant: str) -> int:
    """A number for a tenant id, 63 bits of its hash: tenants are told apart without a list of them."""
    return int.from_bytes(hashlib.sha256(tenant.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1


def _packed(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def readable(meta: dict[str, Any]) -> dict[str, Any]:
    """The values of `ClientTable.state`, ready for JSON. Texts of a million names take longer to make than
    all that a save must copy, so this is for the thread that writes."""
    return {**meta, "names": [*map(_text, meta["names"])]}


class Stretches(NamedTuple):
    """The stretch that each client [clients] is in: its queries and those since the last silence, as far as
    `detector.following` counts them, the time of the last one, and how many sessions have begun in it."""

    queries: npt.NDArray[np.uint8]
    run: npt.NDArray[np.uint8]
    last: FloatArray
    sessions: npt.NDArray[np.int32]


class ClientTable(Numbered):
    """Numbers of clients, at most `bound`, and which of `slots` slots each one has.

    Columns by number: `stretches`, `serial` never given twice, `tenant`, `heard` and `habits` for
    `detector.policy.judge`. `bound` must exceed the sessions that can be open at a time.
    """

    def __init__(self, bound: int, slots: int) -> None:
        super().__init__(bound)
        self.slots = LentSlots(slots)
        self.evicted = 0
        self._starts = 0
        self._names: list[bytes] = []
        """Ids as UTF-8: that takes 16 bytes less each than text does."""
        self._last_start = np.zeros(0, dtype=np.int64)
        self._open = np.zeros(0, dtype=np.int32)
        self.stretches = Stretches(
            np.zeros(0, dtype=np.uint8),
            np.zeros(0, dtype=np.uint8),
            np.zeros(0),
            np.zeros(0, dtype=np.int32),
        )
        self.serial = np.zeros(0, dtype=np.int64)
        self.tenant = np.zeros(0, dtype=np.int64)
        self.heard = np.zeros((0, KINDS), dtype=np.int64)
        self.habits = none_of(0)
        self._lengthen()

    def rebound(self, bound: int, slots: int) -> None:
        """Remember at most so many clients, in so many slots, from now on; or as many as there are."""
        self._register.rebound(bound)
        self.slots.rebound(slots)

    @property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "last_start": self._last_start,
            "open": self._open,
            "entity": self.slots.slot_of,
            "serial": self.serial,
            "tenant": self.tenant,
            "heard": self.heard,
            **{f"stretch_{name}": column for name, column in self.stretches._asdict().items()},
            **{f"habit_{name}": column for name, column in self.habits._asdict().items()},
        }

    @property
    def nbytes(self) -> int:
        """Bytes allocated, without the names."""
        return self._register.nbytes + sum(column.nbytes for column in self._columns.values())

    def join(
        self,
        sessions: npt.NDArray[np.int32],
        records: Records,
        start: int,
        stop: int,
        slot: IntArray,
        fresh: Any,
        known: Known = NOBODY,
    ) -> int:
        """Number the clients of the sessions that begin at queries start..stop, in `sessions` [slots]; new
        ones begin with the habits that are `known` of them.

        Stops early, before a query whose client needs a number when none is free; returns where.
        """
        rows = start + np.flatnonzero(fresh[start:stop])
        if len(rows) == 0:
            return stop
        some = records.take(rows)
        keys = some.keys(CLIENT, TENANT)
        found, begun = self._register.enter(keys)
        self._lengthen()
        left = np.flatnonzero(found < 0)
        done = int(left[0]) if len(left) else len(rows)
        numbers = found[:done]
        new = some.take(begun)
        for i, name, tenant in zip(begun.tolist(), new.ids(CLIENT), new.ids(TENANT), strict=True):
            c = int(found[i])
            self._names[c] = _packed(name)
            self.tenant[c] = _number(tenant)
            self.serial[c] = self._starts + i
        regular, theirs = known.look_up(keys[begun])
        for column, habit in zip(self.habits, known.habits, strict=True):
            column[found[begun[regular]]] = habit[theirs]
        self._last_start[numbers] = self._starts + 1 + np.arange(done)
        self._starts += done
        np.add.at(self._open, numbers, 1)
        sessions[slot[rows[:done]]] = numbers
        return int(rows[done]) if done < len(rows) else stop

    def leave(self, owners: npt.NDArray[np.int32] | IntArray) -> None:
        """Sessions of these clients, one entry a session, are open no longer."""
        np.subtract.at(self._open, owners, 1)

    def _lengthen(self) -> None:
        before = len(self._names)
        self.slots.know(self.capacity)
        for column in self._columns.values():
            longer(column, self.capacity)
        self.heard[before:] = -1
        self._names.extend([b""] * (self.capacity - before))

    def evict(self) -> tuple[IntArray, IntArray]:
        """Forget an eighth of the clients without an open session, those first whose last session began
        longest ago. Returns their numbers and the slots that this frees."""
        idle = np.flatnonzero(self._register.taken & (self._open == 0))
        gone = idle[np.argsort(self._last_start[idle])][: max(1, len(self) // EVICTED_SHARE)]
        self._register.release(gone)
        for c in gone.tolist():
            self._names[c] = b""
        self.heard[gone] = -1
        for column in (*self.stretches, *self.habits):
            column[gone] = 0
        self.evicted += len(gone)
        return gone, self.slots.take_back(gone)

    def keys_of(self, serials: IntArray) -> tuple[IntArray, Keys]:
        """Which of the clients with these serials [n] are still known, and their keys [k, 2]."""
        taken = np.flatnonzero(self._register.taken)
        taken = taken[np.argsort(self.serial[taken])]
        at = np.searchsorted(self.serial[taken], serials)
        rows = np.flatnonzero(at < len(taken))
        rows = rows[self.serial[taken[at[rows]]] == serials[rows]]
        return rows, self._register.keys(taken[at[rows]])

    def serials_of(self, clients: Collection[tuple[str, str]]) -> IntArray:
        """Of those of the clients, given by tenant and id, that are known."""
        wanted = {(_number(tenant), _packed(name)) for tenant, name in clients}
        taken = np.flatnonzero(self._register.taken).tolist() if wanted else []
        known = [c for c in taken if (int(self.tenant[c]), self._names[c]) in wanted]
        return self.serial[np.array(known, dtype=np.int64)]

    def hear(self, numbers: IntArray, serials: IntArray, heard: IntArray) -> None:
        """Of those clients that still have these serials [k]: an alert named them as late as at queries
        `heard` [k, KINDS], -1: none did. It takes their habit away."""
        known = self._register.taken[numbers] & (self.serial[numbers] == serials)
        numbers, heard = numbers[known], heard[known]
        self.heard[numbers] = np.maximum(self.heard[numbers], heard)
        for column in self.habits:
            column[numbers[(heard >= 0).any(axis=1)]] = 0

    def names(self, numbers: IntArray, sent: IntArray) -> list[str]:
        """Client ids, who has sent most first."""
        known = [
            (-count, _text(self._names[number]))
            for number, count in zip(numbers.tolist(), sent.tolist(), strict=True)
            if self._register.taken[number]
        ]
        return [name for _, name in sorted(known)]

    def state(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]]:
        """Everything, as values that `readable` makes ready for JSON, and arrays."""
        used = self.used
        meta = {"evicted": self.evicted, "starts": self._starts, "names": self._names[:used]}
        return meta, {
            **{name: column[:used] for name, column in self._columns.items()},
            **self._register.state(),
            **self.slots.state(),
        }

    def load(self, meta: dict[str, Any], arrays: dict[str, Any]) -> None:
        """The inverse of `state` and `readable`; bounds that are smaller than what was saved give way."""
        self.evicted, self._starts = meta["evicted"], meta["starts"]
        self._register = Register.from_state(arrays, self.bound)
        self._lengthen()
        used = self.used
        self._names[:used] = map(_packed, meta["names"])
        self.slots.load(arrays)
        for name, column in self._columns.items():
            column[:used] = arrays[name]
