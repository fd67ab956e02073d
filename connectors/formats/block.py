"""Many ordinary native records at one go, compiled: from the bytes of a batch straight to columns.

Ordinary is a record in ASCII without escapes, with `input` and `probabilities` as flat lists, ids as strings,
and nothing null. Whatever else there is, and all that is wrong, is left to the record-by-record reading of
`native`, which gives an ordinary record the same values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from connectors.formats.fields import ID_LENGTH, MAX_CLASSES, MAX_SECONDS
from connectors.formats.floats import read_list, read_number
from detector.decoded import HAS_CONFIDENCE, HAS_LABEL, HAS_PROBABILITIES, Decoded
from detector.query import FloatArray, Record
from models.compiled import jit

NAMES = (
    "model_id",
    "client_id",
    "session_id",
    "request_id",
    "source_ip",
    "user_agent",
    "tenant_id",
    "timestamp",
    "input",
    "probabilities",
    "confidence",
    "label",
)
IDS = 7
"""So many of the names are ids."""
_TIMESTAMP, _INPUT, _PROBABILITIES, _CONFIDENCE, _LABEL = range(IDS, len(NAMES))
UNKNOWN = len(NAMES)
_MODEL, _CLIENT = 0, 1
_REQUIRED = 1 << _MODEL | 1 << _CLIENT | 1 << _TIMESTAMP | 1 << _INPUT
_WIDTHS = np.array([len(name) for name in NAMES])
_KEYS = np.array([list(name.encode().ljust(16, b"\0")) for name in NAMES], dtype=np.uint8)
_MOST_FIELDS = 64
_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_OPEN, _CLOSE = 123, 125
BLOCK_BYTES = 2**19
_U, _I, _ONE = cast(Any, np.uint64), cast(Any, np.int64), np.uint64(1)
_SEPARATOR = b"\0"
"""Between records: no JSON text goes on over it."""


class Block(NamedTuple):
    """What was found in n values. Rows that are not `ordinary` [n] mean nothing.

    text: all values; spans [n, IDS + 2, 2]: where each id lies in it, and the input
    and the probabilities in `numbers`; present [n]: bits by `NAMES`; times, confidences, labels [n]
    """

    text: bytes
    numbers: FloatArray
    ordinary: npt.NDArray[np.bool_]
    spans: npt.NDArray[np.int64]
    present: npt.NDArray[np.int64]
    times: FloatArray
    confidences: FloatArray
    labels: npt.NDArray[np.int64]


def read_blocks(
    values: Sequence[bytes], latest: float, record_bytes: int, input_length: int
) -> Iterator[tuple[int, Block]]:
    """Read the values that are ordinary records, within the limits that `native` names.

    Yields blocks and the number of the first value of each: the text of one stays in the processor's cache.
    """
    sizes = np.fromiter(map(len, values), dtype=np.int64, count=len(values)) + 1
    most = max(1, BLOCK_BYTES // max(1, int(sizes.mean()))) if values else 1
    numbers = np.empty(0)
    for first in range(0, len(values), most):
        some = values[first : first + most]
        n = len(some)
        joined = _SEPARATOR.join(some) + _SEPARATOR
        if len(numbers) < len(joined) // 2 + 1:  # each has two bytes at least
            numbers = np.empty(len(joined) // 2 + 1)
        columns = (
            np.zeros(n, dtype=np.bool_),
            np.zeros((n, IDS + 2, 2), dtype=np.int64),
            np.zeros(n, dtype=np.int64),
            np.zeros(n),
            np.zeros(n),
            np.zeros(n, dtype=np.int64),
        )
        used = read_rows(
            np.frombuffer(joined, dtype=np.uint8),
            np.cumsum(sizes[first : first + n]) - 1,
            min(latest, MAX_SECONDS),
            record_bytes,
            input_length,
            numbers,
            *columns,
        )
        # Records may live long, and keep only the numbers that there are.
        yield first, Block(joined, numbers[:used].copy(), *columns)


def records_of(block: Block, values: Sequence[bytes], offsets: Sequence[int]) -> list[Record]:
    """A record for each row of a block that was read from these values."""
    return list(rows_of([block], values, offsets))


def rows_of(blocks: Sequence[Block], values: Sequence[bytes], offsets: Sequence[int]) -> Decoded:
    """All rows of blocks that were read from these values, as columns."""
    spans = np.concatenate([block.spans for block in blocks])
    begins = np.cumsum([[0, 0], *([len(block.text), len(block.numbers)] for block in blocks)], axis=0)
    first = 0
    for block, (text, numbers) in zip(blocks, begins.tolist(), strict=False):
        own = spans[first : first + len(block.present)]
        own[:, :IDS] += text
        own[:, IDS:] += numbers
        first += len(own)
    present = np.concatenate([block.present for block in blocks])
    given = np.zeros(len(present), dtype=np.int64)
    for bit, name in (
        (HAS_PROBABILITIES, _PROBABILITIES),
        (HAS_CONFIDENCE, _CONFIDENCE),
        (HAS_LABEL, _LABEL),
    ):
        given |= bit * ((present >> name) & 1)
    return Decoded(
        b"".join(block.text for block in blocks),
        np.concatenate([block.numbers for block in blocks]),
        spans,
        given,
        np.concatenate([block.times for block in blocks]),
        np.concatenate([block.confidences for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
        np.array(offsets, dtype=np.int64),
        values,
    )


@jit
def _blank(text: Any, i: int) -> int:
    """The first position from i on that is no white space."""
    while text[i] <= 32 and text[i] in (32, 9, 10, 13):
        i += 1
    return i


@jit
def _closing(text: Any, at: int) -> Any:
    """Where the string ends whose first character is there; 0: it is none, or not plain ASCII."""
    i = _U(at)  # an index without a sign is not looked at for being negative
    c = text[i]
    while c != _QUOTE:
        if c < 32 or c >= 128 or c == _BACKSLASH:
            return 0
        i += _ONE
        c = text[i]
    return _I(i)


@jit
def _key(text: Any, i: int, end: int, guess: int) -> int:
    """Which of `NAMES` text [i..end] is, or UNKNOWN; `guess` is tried first."""
    if _is(text, i, end, guess):
        return guess
    for k in range(len(_WIDTHS)):
        if _is(text, i, end, k):
            return k
    return UNKNOWN


@jit
def _is(text: Any, i: int, end: int, k: int) -> bool:
    if _WIDTHS[k] != end - i:
        return False
    begin = _U(i)
    for j in range(_U(end - i)):
        if text[begin + j] != _KEYS[k, j]:
            return False
    return True


@jit
def _label(text: Any, i: int, row: int, labels: Any) -> int:
    """Read an integer of at most 18 digits; returns the position behind it, 0: it is none."""
    sign = -1 if text[i] == 45 else 1
    if sign < 0:
        i += 1
    begin, value = i, 0
    while text[i] >= 48 and text[i] <= 57 and i < begin + 19:
        value = 10 * value + text[i] - 48
        i += 1
    if i == begin or i == begin + 19 or (i > begin + 1 and text[begin] == 48):
        return 0
    if text[i] in (46, 69, 101):
        return 0
    labels[row] = sign * value
    return i


@jit
def _other(text: Any, i: int, scratch: Any, bits: Any) -> int:
    """Pass over the value of an unknown field: a string or a number; scratch and bits [1] are overwritten."""
    if text[i] == _QUOTE:
        end = _closing(text, i + 1)
        return end + 1 if end else 0
    return read_number(text, i, scratch, bits, 0)


@jit
def read_rows(
    text: Any,
    stops: Any,
    latest: float,
    record_bytes: int,
    input_length: int,
    numbers: Any,
    ordinary: Any,
    spans: Any,
    present: Any,
    times: Any,
    confidences: Any,
    labels: Any,
) -> int:
    """Read text [bytes], whose values end before stops [n], into the columns of `Block`.

    Returns how many numbers there are.
    """
    guesses = np.zeros(_MOST_FIELDS, dtype=np.int64)
    bits, scratch = numbers.view(np.uint64), np.zeros(1)
    scratch_bits = scratch.view(np.uint64)
    used = 0
    start = 0
    for row in range(len(stops)):
        i, stop = start, stops[row]
        start = stop + 1
        if stop - i > record_bytes:
            continue
        k = used
        found = 0
        i = _blank(text, i)
        if text[i] != _OPEN:
            continue
        well = False
        for field in range(_MOST_FIELDS):
            i = _blank(text, i + 1)
            end = _closing(text, i + 1) if text[i] == _QUOTE else 0
            if end == 0:
                break
            name = _key(text, i + 1, end, guesses[field])
            i = _blank(text, end + 1)
            if text[i] != _COLON or (name < UNKNOWN and (found >> name) & 1):
                break
            i = _blank(text, i + 1)
            if name < UNKNOWN:
                guesses[field] = name
                found |= 1 << name
            if name < IDS:
                end = _closing(text, i + 1) if text[i] == _QUOTE else 0
                if end == 0 or end - i - 1 > ID_LENGTH or (name <= _CLIENT and end == i + 1):
                    break
                spans[row, name, 0], spans[row, name, 1] = i + 1, end
                i = end + 1
            elif name in (_INPUT, _PROBABILITIES):
                begin = k
                most = input_length if name == _INPUT else MAX_CLASSES
                i, k = read_list(text, i, most, numbers, bits, k)
                which = IDS + name - _INPUT
                spans[row, which, 0], spans[row, which, 1] = begin, k
            elif name == _TIMESTAMP:
                i = read_number(text, i, scratch, scratch_bits, 0)
                times[row] = scratch[0]
                if not (times[row] > 0.0 and times[row] <= latest):
                    i = 0
            elif name == _CONFIDENCE:
                i = read_number(text, i, scratch, scratch_bits, 0)
                confidences[row] = scratch[0]
            elif name == _LABEL:
                i = _label(text, i, row, labels)
            else:
                i = _other(text, i, scratch, scratch_bits)
            if i == 0:
                break
            i = _blank(text, i)
            if text[i] == _CLOSE:
                well = _blank(text, i + 1) == stop
                break
            if text[i] != _COMMA:
                break
        if well and found & _REQUIRED == _REQUIRED:
            ordinary[row] = True
            present[row] = found
            used = k
    return used
