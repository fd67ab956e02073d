"""Blocks of an array that are lent and given back: which are out, in an order that only requests decide."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import lean

BACK, HIGH, BOUND = range(3)


class Pool(NamedTuple):
    """Numbers 0, 1, 2, ... of blocks, at most `counters[BOUND]` of them.

    back [capacity] int32: stack of those that were given back; counters [3] int64: height of that stack,
    numbers ever lent, and the bound. The kernels change it in place. How many blocks have been allocated has
    no influence on which is lent next.
    """

    back: npt.NDArray[np.int32]
    counters: npt.NDArray[np.int64]

    @property
    def lent(self) -> int:
        """Blocks that are out."""
        return int(self.counters[HIGH] - self.counters[BACK])

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to lend."""
        return bool(self.counters[BACK] == 0 and self.counters[HIGH] >= self.counters[BOUND])

    def holds(self, size: int, requests: int, most: int) -> bool:
        """Whether `size` blocks are enough for so many requests, whatever was given back; never more than
        `most` are out."""
        return requests == 0 or most <= size or self.counters.item(HIGH) + requests <= size

    def wanted(self, requests: int, most: int | None = None) -> int:
        """Blocks that must have been allocated before so many requests, where never more than `most` are out
        (None: any number)."""
        high, bound = int(self.counters[HIGH]), int(self.counters[BOUND])
        wanted = min(high + max(0, requests - int(self.counters[BACK])), bound)
        return wanted if most is None else min(wanted, max(high, most))


def make(bound: int) -> Pool:
    """A pool with nothing lent."""
    return Pool(np.zeros(0, dtype=np.int32), np.array([0, 0, bound], dtype=np.int64))


def next_size(size: int, wanted: int, step: int = 16) -> int:
    """Rows to allocate where `size` are and `wanted` are needed: a sixteenth more than before at least, so
    that growing costs little and little is allocated in vain."""
    return max(wanted, size + max(size // step, 64)) if wanted > size else size


def longer(array: Any, rows: int) -> None:
    """Give an array more rows, all 0, in place. No view of it may be in use."""
    if len(array) < rows:
        array.resize((rows, *array.shape[1:]), refcheck=False)


def state(pool: Pool) -> dict[str, npt.NDArray[np.generic]]:
    """What is to be saved; the bound is not."""
    return {"back": pool.back[: pool.counters[BACK]], "high": pool.counters[HIGH : HIGH + 1]}


def load(arrays: dict[str, Any], bound: int, capacity: int) -> Pool:
    """The inverse of `state`, with room for `capacity` blocks, for `bound` or as many as were lent."""
    high = int(arrays["high"][0])
    pool = make(max(bound, high))
    longer(pool.back, capacity)
    pool.back[: len(arrays["back"])] = arrays["back"]
    pool.counters[: HIGH + 1] = (len(arrays["back"]), high)
    return pool


@lean
def free(pool: Pool) -> int:
    """Blocks that are left to lend."""
    counters = pool.counters
    return int(counters[BOUND] - counters[HIGH] + counters[BACK])


@lean
def lend(pool: Pool) -> int:
    """The number of a block, the one given back last before a new one; -1 when none is left."""
    counters = pool.counters
    if counters[BACK] > 0:
        counters[BACK] -= 1
        return int(pool.back[counters[BACK]])
    if counters[HIGH] >= counters[BOUND]:
        return -1
    counters[HIGH] += 1
    return int(counters[HIGH] - 1)


@lean
def give_back(pool: Pool, block: int) -> None:
    """Block may be lent again."""
    counters = pool.counters
    pool.back[counters[BACK]] = block
    counters[BACK] += 1


@lean
def give_back_many(pool: Pool, blocks: Any) -> None:
    """These may be lent again, the first of them first."""
    for i in range(blocks.shape[0] - 1, -1, -1):
        give_back(pool, blocks[i])
