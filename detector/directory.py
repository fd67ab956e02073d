"""Which number a 128-bit key has: open addressing in flat arrays, many lookups at a time.

A million entries take 16 bytes of key and about 8 of index each, where a dict of strings takes ten times as
much; and the lookups of a batch overlap, where a dict waits for memory each time.

Where a key's search begins is a secret of the process: the keys are hashes that anybody can compute, so
whoever chooses ids could otherwise choose many that crowd at one place, which every search must pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector import pool
from detector.keys import SECRET, Keys
from detector.pool import Pool, longer
from detector.query import IntArray
from models.compiled import lean, part

FIRST_INDEX = 256


@lean
def _home(key: Any, secret: Any, shift: Any) -> Any:
    """Where the search for key [2] begins: multiply-shift hashing (Dietzfelbinger et al. 1997)."""
    return np.int64((key[0] * secret[0] + key[1] * secret[1]) >> shift)


@lean
def _find(index: Any, keys: Any, wanted: Any, out: Any, secret: Any, shift: Any) -> None:
    mask = index.shape[0] - 1
    for i in range(wanted.shape[0]):
        at = _home(part(wanted, i), secret, shift)
        while True:
            number = index[at]
            if number < 0 or (keys[number, 0] == wanted[i, 0] and keys[number, 1] == wanted[i, 1]):
                out[i] = number
                break
            at = (at + 1) & mask


@lean
def _insert(index: Any, key: Any, number: int, secret: Any, shift: Any) -> None:
    mask = index.shape[0] - 1
    at = _home(key, secret, shift)
    while index[at] >= 0:
        at = (at + 1) & mask
    index[at] = number


@lean
def _insert_many(index: Any, keys: Any, numbers: Any, secret: Any, shift: Any) -> None:
    for i in range(numbers.shape[0]):
        _insert(index, part(keys, numbers[i]), numbers[i], secret, shift)


@lean
def _add_new(
    index: Any,
    keys: Any,
    wanted: Any,
    rows: Any,
    start: int,
    most: int,
    out: Any,
    lent: Any,
    begun: Any,
    secret: Any,
    shift: Any,
) -> Any:
    """Enter wanted[rows[start:]], at most `most` new ones; returns where it stopped, and how many were."""
    mask = index.shape[0] - 1
    new = 0
    for k in range(start, rows.shape[0]):
        i = rows[k]
        at = _home(part(wanted, i), secret, shift)
        while True:
            number = index[at]
            if number < 0 or (keys[number, 0] == wanted[i, 0] and keys[number, 1] == wanted[i, 1]):
                break
            at = (at + 1) & mask
        if number < 0:
            if new == most or pool.free(lent) == 0:
                return k, new
            number = pool.lend(lent)
            keys[number, 0], keys[number, 1] = wanted[i, 0], wanted[i, 1]
            index[at] = number
            begun[new] = i
            new += 1
        out[i] = number
    return rows.shape[0], new


@lean
def _remove_many(index: Any, keys: Any, numbers: Any, secret: Any, shift: Any) -> None:
    """Take entries out, moving back those behind them that would not be found any more."""
    mask = index.shape[0] - 1
    for i in range(numbers.shape[0]):
        at = _home(part(keys, numbers[i]), secret, shift)
        while index[at] != numbers[i]:
            at = (at + 1) & mask
        gap, at = at, (at + 1) & mask
        while index[at] >= 0:
            home = _home(part(keys, index[at]), secret, shift)
            if (at - home) & mask >= (at - gap) & mask:
                index[gap] = index[at]
                gap = at
            at = (at + 1) & mask
        index[gap] = -1


class Directory:
    """Keys and their numbers; the numbers are chosen by the owner and may lie below `room`."""

    def __init__(self) -> None:
        self.keys: Keys = np.zeros((0, 2), dtype=np.uint64)
        """By number, whether it is taken or not."""
        self._index = np.full(FIRST_INDEX, -1, dtype=np.int32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, wanted: Keys) -> IntArray:
        """The number of each of the keys wanted [n, 2], -1 where there is none."""
        out = np.empty(len(wanted), dtype=np.int64)
        _find(self._index, self.keys, wanted, out, *self._begins())
        return out

    def add_new(self, keys: Keys, rows: IntArray, out: IntArray, lent: Pool) -> IntArray:
        """Enter the keys [n, 2] of these rows, in order, where they are not there yet: each is lent a number
        until none is left. out [n] receives the numbers; returns the rows that were lent one."""
        begun = np.empty(len(rows), dtype=np.int64)
        done, count = 0, 0
        while done < len(rows):
            self._widen()
            most = len(self._index) // 2 - self._count
            done, new = _add_new(
                self._index, self.keys, keys, rows, done, most, out, lent, begun[count:], *self._begins()
            )
            self._count += new
            count += new
            if done < len(rows) and lent.exhausted:
                break
        return begun[:count]

    def _begins(self) -> tuple[Keys, np.uint64]:
        """What says where searches begin: the secret, and how far its product is shifted."""
        return SECRET, np.uint64(65 - len(self._index).bit_length())

    def _widen(self) -> None:
        if 2 * (self._count + 1) > len(self._index):
            taken = self._index[self._index >= 0].astype(np.int64)
            self._index = np.full(2 * len(self._index), -1, dtype=np.int32)
            _insert_many(self._index, self.keys, taken, *self._begins())

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return self.keys.nbytes + self._index.nbytes

    def remove(self, numbers: IntArray) -> None:
        """Take out the keys of these numbers."""
        _remove_many(self._index, self.keys, numbers, *self._begins())
        self._count -= len(numbers)

    def grow(self, room: int) -> None:
        """Make room for numbers below `room`."""
        longer(self.keys, room)

    def load(self, keys: Keys, taken: IntArray) -> None:
        """Take over keys [room, 2], those of the numbers `taken`."""
        self.keys = np.array(keys, dtype=np.uint64)
        self._count = len(taken)
        size = FIRST_INDEX
        while 2 * self._count > size:
            size *= 2
        self._index = np.full(size, -1, dtype=np.int32)
        _insert_many(self._index, self.keys, np.asarray(taken, dtype=np.int64), *self._begins())
