"""What changed in long arrays since they were last saved, and whole arrays again from such changes.

A shard with a million sessions holds gigabytes, of which some seconds change little. So only rows that were
written to are copied and saved, as *pieces*: later ones replace rows of earlier ones. When many rows have
been saved several times, the pieces are made into one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.container import Damaged, pack, unpack
from detector.query import IntArray
from models.base import Arrays

MOST_PIECES = 64
MOST_COPIES = 2.0
"""Pieces of one state are made into one when there are so many, or when together they are so many times as
large as the arrays."""
_ROWS, _NUMBERS = "rows/", "numbers/"


class Change(NamedTuple):
    """Rows of an array that has `length` rows by now: their numbers [m], ascending, and the rows [m, ..]."""

    length: int
    numbers: IntArray
    rows: npt.NDArray[Any]


Changes = dict[str, Change]


def take(array: npt.NDArray[Any], flags: npt.NDArray[np.uint8]) -> Change:
    """A copy of the rows of array [n, ...] that are flagged; the flags [>= n] are cleared."""
    numbers = np.flatnonzero(flags[: len(array)])
    flags[:] = 0
    return Change(len(array), numbers, np.take(array, numbers, axis=0))


def size(changes: Mapping[str, Change]) -> int:
    """Bytes of all rows of the arrays, changed or not."""
    return sum(
        change.length * change.rows.itemsize * int(np.prod(change.rows.shape[1:], dtype=np.int64))
        for change in changes.values()
    )


def due(sizes: Iterable[int], changes: Mapping[str, Change]) -> bool:
    """Whether pieces of these sizes [bytes] and the changes are to be made into one piece."""
    found = list(sizes)
    return len(found) >= MOST_PIECES or sum(found) > MOST_COPIES * size(changes)


def to_bytes(changes: Mapping[str, Change]) -> bytes:
    """A piece."""
    arrays: Arrays = {}
    for name, change in changes.items():
        arrays[_ROWS + name], arrays[_NUMBERS + name] = change.rows, change.numbers
    lengths = {name: change.length for name, change in changes.items()}
    return pack({"kind": "changes", "lengths": lengths}, arrays, compressed=False)


def from_bytes(data: bytes) -> Changes:
    """The inverse of `to_bytes`. Raises Damaged."""
    meta, arrays = unpack(data)
    try:
        if meta["kind"] != "changes":
            raise Damaged("not a piece of a state")
        return {
            name: Change(length, np.asarray(arrays[_NUMBERS + name], dtype=np.int64), arrays[_ROWS + name])
            for name, length in meta["lengths"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"the content cannot be read: {error!r}") from error


def joined(pieces: Iterable[bytes], stop: Callable[[], bool] = lambda: False) -> Arrays | None:
    """The arrays as they were at the last of the pieces, which are in order; rows that none has are 0.

    None when `stop` says so between two pieces. Raises Damaged. Arrays that the last piece does not have are
    gone by then.
    """
    found: Arrays = {}
    for piece in pieces:
        if stop():
            return None
        grown: Arrays = {}
        for name, change in from_bytes(piece).items():
            array = found.get(name, change.rows[:0])
            if array.shape[1:] != change.rows.shape[1:] or array.dtype != change.rows.dtype:
                raise Damaged(f"{name}: rows of another shape than before")
            if len(change.numbers) and not 0 <= change.numbers.min() <= change.numbers.max() < change.length:
                raise Damaged(f"{name}: a row beyond its end")
            whole = np.zeros((change.length, *array.shape[1:]), dtype=array.dtype)
            kept = min(len(array), len(whole))
            whole[:kept] = array[:kept]
            whole[change.numbers] = change.rows
            grown[name] = whole
        found = grown
    return found


def whole(arrays: Arrays) -> Changes:
    """All rows of these arrays."""
    return {name: Change(len(array), np.arange(len(array)), array) for name, array in arrays.items()}
