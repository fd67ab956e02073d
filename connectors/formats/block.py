"""Many ordinary native records at one go, compiled: from the bytes of a batch straight to columns.

Ordinary is a record in ASCII without escapes, with a time as a number or in RFC 3339, `input` as a flat list
or float32 in base64, `probabilities` as a flat list, ids as strings, and nothing null. Whatever else there is
and all that is wrong is left to the record-by-record reading of `native`, which gives an ordinary record the
same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from connectors.formats.encoded import AT_ONCE, read_encoded
from connectors.formats.fields import ID_LENGTH, MAX_CLASSES, MAX_SECONDS
from connectors.formats.floats import blank, read_list, read_number
from connectors.formats.instants import read_instant
from connectors.formats.keys import NAMES, UNKNOWN, WIDTHS, is_next, key
from connectors.formats.strings import closing, copied, repeated
from detector.decoded import HAS_CONFIDENCE, HAS_LABEL, HAS_PROBABILITIES, Decoded
from detector.slices import Slices
from models.compiled import jit
from models.words import MARKED

IDS = 7
"""So many of the names are ids."""
_TIMESTAMP, _INPUT, _PROBABILITIES, _CONFIDENCE, _LABEL = range(IDS, len(NAMES))
_MODEL, _CLIENT = 0, 1
_REQUIRED = 1 << _MODEL | 1 << _CLIENT | 1 << _TIMESTAMP | 1 << _INPUT
_MOST_FIELDS = 64
_QUOTE, _COMMA, _COLON = 34, 44, 58
_OPEN, _CLOSE = 123, 125
_BLANKS = (32, 9, 10, 13)
_Number = TypeVar("_Number", np.float64, np.uint8)


def read_batch(
    values: Slices, offsets: Sequence[int], latest: float, record_bytes: int, input_length: int
) -> tuple[Decoded, npt.NDArray[np.bool_]]:
    """Read the values that are ordinary records, within the limits that `native` names.

    Returns columns of all n values, and which of them are ordinary [n]; the rows of the others mean nothing.
    """
    n = len(values)
    letters, inputs, answers = np.empty(0, dtype=np.uint8), np.empty(0), np.empty(0)
    ordinary = np.zeros(n, dtype=np.bool_)
    spans = np.zeros((n, IDS + 2, 2), dtype=np.int64)
    given, labels = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    times, confidences = np.zeros(n), np.zeros(n)
    columns = (values.begins, values.ends, ordinary, spans, given, times, confidences, labels)
    used = np.zeros(5, dtype=np.int64)
    total, before = sum(map(len, values.texts)), 0
    for text, rows in values.by_text():
        # What is wrong may be read beyond its end, to that of its text at most. A number has two bytes at
        # least.
        numbers, read = len(text) // 2 + MARKED, before / total
        letters = _with_room(letters, int(used[0]), len(text) + MARKED, read)
        inputs = _with_room(inputs, int(used[1]), numbers, read)
        answers = _with_room(answers, int(used[2]), numbers, read)
        before += len(text)
        read_rows(
            np.frombuffer(text, dtype=np.uint8),
            min(latest, MAX_SECONDS),
            record_bytes,
            input_length,
            used,
            letters,
            inputs,
            answers,
            *(column[rows] for column in columns),
        )
    found = Decoded(
        letters[: used[0]].tobytes(),
        inputs[: used[1]],
        answers[: used[2]],
        spans,
        given,
        times,
        confidences,
        labels,
        np.fromiter(offsets, dtype=np.int64, count=n),
        values,
    )
    return found, ordinary


def _with_room(array: npt.NDArray[_Number], used: int, most: int, read: float) -> npt.NDArray[_Number]:
    """The array, of which so many are used, with room for `most` more; and if it must be made longer, for all
    that is to come if that is like what was read, a share of it. Much more than is needed would be new memory
    for every batch."""
    if used + most <= len(array):
        return array
    longer = np.empty(most + (int(used / read) if read else 0), dtype=array.dtype)
    longer[:used] = array[:used]
    return longer


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
        end = closing(text, i + 1)
        return end + 1 if end else 0
    return read_number(text, i, scratch, bits, 0)


@jit
def read_rows(
    text: Any,
    latest: float,
    record_bytes: int,
    input_length: int,
    used: Any,
    letters: Any,
    inputs: Any,
    answers: Any,
    begins: Any,
    stops: Any,
    ordinary: Any,
    spans: Any,
    given: Any,
    times: Any,
    confidences: Any,
    labels: Any,
) -> None:
    """Read values begins..stops [n] of text [bytes] into the columns of `Decoded` [n]; see `Slices`.

    used [5]: how much is in letters, inputs and answers already, and where in letters the last model's id is,
    and how long it is: one that is the same is not kept again.
    """
    guesses = np.zeros(_MOST_FIELDS, dtype=np.int64)
    input_bits, answer_bits, scratch = inputs.view(np.uint64), answers.view(np.uint64), np.zeros(1)
    scratch_bits = scratch.view(np.uint64)
    words = np.empty(AT_ONCE, dtype=np.uint32)
    floats = words.view(np.float32)
    model_at, model_width = used[3], used[4]
    for row in range(len(stops)):
        i, stop = begins[row], stops[row]
        if stop - i > record_bytes:
            continue
        at, input_at, answer_at = used[0], used[1], used[2]
        found = 0
        # Not beyond the line: every one of many blank lines would be read to the last of them.
        while i < stop and text[i] in _BLANKS:
            i += 1
        if text[i] != _OPEN:
            continue
        well = False
        for field in range(_MOST_FIELDS):
            i = blank(text, i + 1)
            name = guesses[field]  # mostly it is the one that was there before
            end = i + 1 + WIDTHS[name]
            if text[i] != _QUOTE or not is_next(text, i + 1, name):
                end = closing(text, i + 1) if text[i] == _QUOTE else 0
                if end == 0:
                    break
                name = key(text, i + 1, end)
            i = blank(text, end + 1)
            if text[i] != _COLON or (name < UNKNOWN and (found >> name) & 1):
                break
            i = blank(text, i + 1)
            if name < UNKNOWN:
                guesses[field] = name
                found |= 1 << name
            if name < IDS:
                end = copied(text, i + 1, letters, at) if text[i] == _QUOTE else 0
                width = end - i - 1
                if end == 0 or width > ID_LENGTH or (name <= _CLIENT and width == 0):
                    break
                i = end + 1
                if name == _MODEL and width == model_width and repeated(letters, at, width, model_at):
                    spans[row, name, 0], spans[row, name, 1] = model_at, model_at + width
                else:
                    spans[row, name, 0], spans[row, name, 1] = at, at + width
                    at += width
            elif name == _INPUT:
                spans[row, IDS, 0] = input_at
                if text[i] == _OPEN:
                    i, input_at = read_encoded(text, i, input_length, words, floats, inputs, input_at)
                else:
                    i, input_at = read_list(text, i, input_length, inputs, input_bits, input_at)
                spans[row, IDS, 1] = input_at
            elif name == _PROBABILITIES:
                spans[row, IDS + 1, 0] = answer_at
                i, answer_at = read_list(text, i, MAX_CLASSES, answers, answer_bits, answer_at)
                spans[row, IDS + 1, 1] = answer_at
            elif name == _TIMESTAMP:
                if text[i] == _QUOTE:
                    i = read_instant(text, i, scratch, scratch_bits)
                else:
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
            i = blank(text, i)
            if text[i] == _CLOSE:
                # Blanks go on over a line break behind the value, but the end of a value does not.
                well = i < stop and blank(text, i + 1) >= stop
                break
            if text[i] != _COMMA:
                break
        if well and found & _REQUIRED == _REQUIRED:
            ordinary[row] = True
            given[row] = (
                HAS_PROBABILITIES * (found >> _PROBABILITIES & 1)
                | HAS_CONFIDENCE * (found >> _CONFIDENCE & 1)
                | HAS_LABEL * (found >> _LABEL & 1)
            )
            used[0], used[1], used[2] = at, input_at, answer_at
            model_at, model_width = spans[row, _MODEL, 0], spans[row, _MODEL, 1] - spans[row, _MODEL, 0]
    used[3], used[4] = model_at, model_width
