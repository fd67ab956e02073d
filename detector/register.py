"""Numbers for keys: entered, found again, and free for others once released, at most a bound of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from detector import pool
from detector.directory import Directory
from detector.keys import Keys
from detector.pool import longer, next_size
from detector.query import IntArray

FIRST_CAPACITY = 64


class Register:
    """A number for each of at most `bound` keys; which one depends on the order of the requests alone.

    The owner's columns by number have `capacity` rows; `enter` may raise it.
    """

    def __init__(self, bound: int) -> None:
        self._directory = Directory()
        self._lent = pool.make(bound)
        self.capacity = 0
        self.taken = np.zeros(0, dtype=np.bool_)
        """By number, whether a key has it."""
        self._grow(min(FIRST_CAPACITY, bound))

    def __len__(self) -> int:
        return len(self._directory)

    @property
    def bound(self) -> int:
        """Keys that there may be at a time."""
        return int(self._lent.counters[pool.BOUND])

    def rebound(self, bound: int) -> None:
        """Hold at most so many keys from now on, or as many numbers as have been given."""
        self._lent.counters[pool.BOUND] = max(bound, self.used)

    @property
    def exhausted(self) -> bool:
        """True when a new key gets no number until another is released."""
        return self._lent.exhausted

    @property
    def used(self) -> int:
        """Numbers that have ever been given are those below this."""
        return int(self._lent.counters[pool.HIGH])

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return self._directory.nbytes + self._lent.back.nbytes + self.taken.nbytes

    def enter(self, keys: Keys) -> tuple[IntArray, IntArray]:
        """The number of each of the keys [n, 2], -1 where none was left, and the rows that are new."""
        found = self._directory.find(keys)
        new = np.flatnonzero(found < 0)
        if len(new) == 0:
            return found, new
        self._grow(self._lent.wanted(len(new)))
        begun = self._directory.add_new(keys, new, found, self._lent)
        self.taken[found[begun]] = True
        return found, begun

    def keys(self, numbers: IntArray) -> Keys:
        """The keys of these numbers, which are taken: [n, 2]."""
        return self._directory.keys[numbers]

    def release(self, numbers: IntArray) -> None:
        """The keys of these numbers are forgotten, and the numbers free."""
        self._directory.remove(numbers)
        self.taken[numbers] = False
        pool.give_back_many(self._lent, np.sort(numbers))

    def _grow(self, wanted: int) -> None:
        self.capacity = max(self.capacity, min(next_size(self.capacity, wanted), self.bound))
        self._directory.grow(self.capacity)
        longer(self.taken, self.capacity)
        longer(self._lent.back, self.capacity)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """What is to be saved; the bound is not."""
        used = self.used
        return {
            "keys": self._directory.keys[:used],
            "taken": self.taken[:used],
            **pool.state(self._lent),
        }

    @classmethod
    def from_state(cls, arrays: dict[str, Any], bound: int) -> Register:
        """The inverse of `state`, for `bound` keys, or as many numbers as the state has."""
        used = len(arrays["keys"])
        register = cls(max(bound, used))
        register._grow(used)
        register._lent = pool.load(arrays, register.bound, register.capacity)
        register.taken[:used] = arrays["taken"]
        register._directory.load(arrays["keys"], np.flatnonzero(register.taken))
        register._directory.grow(register.capacity)
        return register


class Numbered:
    """A table whose rows are the numbers of a register."""

    def __init__(self, bound: int) -> None:
        self._register = Register(bound)

    def __len__(self) -> int:
        return len(self._register)

    @property
    def bound(self) -> int:
        """Rows that there may be at a time."""
        return self._register.bound

    @property
    def capacity(self) -> int:
        """Rows that there is room for already."""
        return self._register.capacity

    @property
    def used(self) -> int:
        """Rows that have ever been taken are those below this."""
        return self._register.used
