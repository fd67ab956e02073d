"""What lies at spans of a text or of an array of numbers, many rows at a time.

A busy session's ids come again and again in a batch, and a hash that nobody can forge takes its time. So the
rows are numbered by what they say first, and only one of each is hashed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from detector.keys import SECRET
from detector.query import IntArray
from models.compiled import inlined, lean
from models.words import word


def number(text: npt.NDArray[np.uint8], spans: IntArray) -> tuple[IntArray, IntArray]:
    """Number the tuples of texts at spans [n, fields, 2] by their first row: codes [n], and these rows
    [numbers]."""
    n = len(spans)
    codes, firsts = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    slots = np.full(2 << n.bit_length(), -1, dtype=np.int64)
    found = _number(text, np.ascontiguousarray(spans), slots, codes, firsts, SECRET[0])
    return codes, firsts[:found]


@inlined
def _hash(text: Any, begin: Any, width: Any, h: Any, secret: Any) -> Any:
    """h and the `width` bytes of text from `begin` on, as 64 bits. The last word overlaps the one before."""
    eight = np.uint64(8)
    h = (h ^ width) * secret
    if width < eight:
        for j in range(width):
            h = (h ^ np.uint64(text[begin + np.uint64(j)])) * secret
        return h ^ (h >> np.uint64(32))
    at, last = begin, begin + width - eight
    while at < last:
        h = (h ^ word(text, at)) * secret
        h ^= h >> np.uint64(32)
        at += eight
    h = (h ^ word(text, last)) * secret
    return h ^ (h >> np.uint64(32))


@inlined
def _equal(text: Any, one: Any, other: Any, width: Any) -> bool:
    eight, j = np.uint64(8), np.uint64(0)
    while j + eight <= width:
        if word(text, one + j) != word(text, other + j):
            return False
        j += eight
    while j < width:
        if text[one + j] != text[other + j]:
            return False
        j += np.uint64(1)
    return True


@inlined
def _same(text: Any, spans: Any, i: int, k: int) -> bool:
    """Whether rows i and k say the same."""
    for field in range(spans.shape[1]):
        begin, end = spans[i, field, 0], spans[i, field, 1]
        other = spans[k, field, 0]
        if end - begin != spans[k, field, 1] - other:
            return False
        if begin != other and not _equal(text, np.uint64(begin), np.uint64(other), np.uint64(end - begin)):
            return False
    return True


@lean
def _number(text: Any, spans: Any, slots: Any, codes: Any, firsts: Any, secret: Any) -> int:
    """`number`; returns how many there are. slots: -1 everywhere, a power of two, more than n. Where a search
    begins hangs on the process's secret: whoever chooses ids cannot make them crowd."""
    found = 0
    mask = np.uint64(slots.shape[0] - 1)
    for i in range(spans.shape[0]):
        h = secret
        for field in range(spans.shape[1]):
            begin = np.uint64(spans[i, field, 0])
            h = _hash(text, begin, np.uint64(spans[i, field, 1]) - begin, h, secret)
        at = h & mask
        while slots[at] >= 0 and not _same(text, spans, i, firsts[slots[at]]):
            at = (at + np.uint64(1)) & mask
        if slots[at] < 0:
            slots[at], firsts[found] = found, i
            found += 1
        codes[i] = slots[at]
    return found


@lean
def gather(numbers: Any, spans: Any, out: Any) -> None:
    """Copy the numbers at spans [n, 2] to the rows of out [n, k], NaN behind those of shorter spans."""
    for i in range(out.shape[0]):
        begin, count = spans[i, 0], spans[i, 1] - spans[i, 0]
        for j in range(count):
            out[i, j] = numbers[begin + j]
        for j in range(count, out.shape[1]):
            out[i, j] = np.nan


@lean
def write_messages(text: Any, spans: Any, out: Any) -> None:
    """Write the texts at spans [n, fields, 2] as `detector.keys` hashes them: their lengths, then they."""
    at = 0
    for i in range(spans.shape[0]):
        for field in range(spans.shape[1]):
            length = spans[i, field, 1] - spans[i, field, 0]
            for byte in range(4):
                out[at + byte] = (length >> (8 * byte)) & 255
            at += 4
        for field in range(spans.shape[1]):
            for k in range(spans[i, field, 0], spans[i, field, 1]):
                out[at] = text[k]
                at += 1
