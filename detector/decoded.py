"""Records as columns, as a decoder found them: a `Record` is made of a row only when somebody asks for it.

Few are ever looked at: those that begin a session, and those that alerts and dead letters are about. What
every query needs is read from the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import numpy.typing as npt

from detector.query import FloatArray, IntArray, Record
from models.compiled import lean

if TYPE_CHECKING:
    from typing_extensions import Buffer

MODEL, CLIENT, SESSION, REQUEST, ADDRESS, AGENT, TENANT, INPUT, PROBABILITIES = range(9)
"""Columns of `spans`: ids, then numbers."""
HAS_PROBABILITIES, HAS_CONFIDENCE, HAS_LABEL = 1, 2, 4
"""Bits of `given`."""
LONG = 4096
"""Where there are more bytes of text for a record, its ids are made one by one: most text is of others."""


class Decoded(Sequence[Record]):
    """n records of ASCII ids and flat inputs.

    text: bytes that hold all ids; inputs, answers: all inputs, and all probabilities, one after the other;
    spans [n, 9, 2]: where each lies in these, empty where absent; given [n]: which answers a record has;
    times, confidences, labels, offsets [n]; values [n]: the records as they came
    """

    __slots__ = (
        *("answers", "confidences", "given", "inputs", "labels"),
        *("offsets", "spans", "text", "times", "values"),
    )

    def __init__(
        self,
        text: bytes,
        inputs: FloatArray,
        answers: FloatArray,
        spans: IntArray,
        given: IntArray,
        times: FloatArray,
        confidences: FloatArray,
        labels: IntArray,
        offsets: IntArray,
        values: Sequence[bytes],
    ) -> None:
        self.text, self.inputs, self.answers = text, inputs, answers
        self.spans, self.given = spans, given
        self.times, self.confidences, self.labels = times, confidences, labels
        self.offsets, self.values = offsets, values

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Decoded: ...

    def __getitem__(self, index: int | slice) -> Record | Decoded:
        if isinstance(index, slice):
            return self._part(index, self.values[index])
        row = range(len(self))[index]
        return next(iter(self._part(slice(row, row + 1), [self.values[row]])))

    def take(self, rows: IntArray) -> list[Record]:
        """The records of these rows."""
        return list(self._part(rows, [self.values[row] for row in rows.tolist()]))

    def _part(self, rows: IntArray | slice, values: Sequence[bytes]) -> Decoded:
        return Decoded(
            self.text,
            self.inputs,
            self.answers,
            self.spans[rows],
            self.given[rows],
            self.times[rows],
            self.confidences[rows],
            self.labels[rows],
            self.offsets[rows],
            values,
        )

    def __iter__(self) -> Iterator[Record]:
        """All records, made at one go."""
        one_by_one = len(self.text) > LONG * len(self)
        text = self.text if one_by_one else self.text.decode("latin-1")  # one character a byte

        def ids(which: int) -> Iterable[str]:
            begins, ends = self.spans[:, which].T
            if not (ends > begins).any():
                return repeat("")
            found = [text[i:j] for i, j in zip(begins.tolist(), ends.tolist(), strict=True)]
            return [part if isinstance(part, str) else part.decode("ascii") for part in found]

        def lists(of: FloatArray, which: int) -> list[memoryview[float]]:
            numbers = memoryview(cast("Buffer", of)).cast("B").cast("d")
            return [numbers[i:j] for i, j in zip(*self.spans[:, which].T.tolist(), strict=True)]

        def where(bit: int, values: Sequence[Any]) -> Iterable[Any]:
            """The values where a row has them, None elsewhere."""
            has = (self.given & bit) > 0
            if not has.any():
                return repeat(None)
            return [value if own else None for value, own in zip(values, has.tolist(), strict=True)]

        model, client, *optional = map(ids, range(INPUT))
        return map(
            Record,
            self.times.tolist(),
            model,
            client,
            lists(self.inputs, INPUT),
            *optional,
            where(HAS_PROBABILITIES, lists(self.answers, PROBABILITIES)),
            where(HAS_CONFIDENCE, self.confidences.tolist()),
            where(HAS_LABEL, self.labels.tolist()),
            self.offsets.tolist(),
            self.values,
        )

    def lengths(self, which: int) -> IntArray:
        """Bytes of an id, or numbers of an input or of probabilities [n]."""
        return self.spans[:, which, 1] - self.spans[:, which, 0]

    def same(self, which: int) -> bool:
        """Whether all have the same id; there must be one."""
        return bool(_same(np.frombuffer(self.text, dtype=np.uint8), self.spans[:, which]))

    def matrix(self, which: int, width: int) -> FloatArray:
        """Inputs or probabilities [n, width], NaN beyond a row's own; inputs are not to be written to."""
        numbers, spans = self.inputs if which == INPUT else self.answers, self.spans[:, which]
        begin = int(spans[0, 0]) if len(spans) else 0
        end = begin + width * len(self)
        begins = begin + width * np.arange(len(self))
        if which == INPUT and (spans[:, 0] == begins).all() and (spans[:, 1] == begins + width).all():
            return numbers[begin:end].reshape(len(self), width)  # as they lie there
        out = np.empty((len(self), width))
        _gather(numbers, spans, out)
        return out

    def messages(self, fields: Sequence[int]) -> tuple[npt.NDArray[np.uint8], IntArray]:
        """Row by row the lengths (4 bytes each, little-endian) and texts of these ids; and where they end."""
        spans = self.spans[:, list(fields)]
        ends = np.cumsum((spans[:, :, 1] - spans[:, :, 0]).sum(axis=1) + 4 * len(fields))
        out = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
        _write_messages(np.frombuffer(self.text, dtype=np.uint8), spans, out)
        return out, ends


def times_of(records: Sequence[Record]) -> FloatArray:
    """Timestamps [n]."""
    if isinstance(records, Decoded):
        return records.times
    return np.array([record.timestamp for record in records], dtype=np.float64)


def offsets_of(records: Sequence[Record]) -> IntArray:
    """Offsets [n]."""
    if isinstance(records, Decoded):
        return records.offsets
    return np.array([record.offset for record in records], dtype=np.int64)


def one_row(offset: int) -> Decoded:
    """The smallest of all: one record, to load the kernels with."""
    spans = np.zeros((1, PROBABILITIES + 1, 2), dtype=np.int64)
    spans[0, [MODEL, CLIENT, INPUT, PROBABILITIES]] = [[0, 1], [1, 2], [0, 2], [0, 2]]
    given, labels, offsets = np.array([HAS_PROBABILITIES]), np.array([0]), np.array([offset])
    numbers = np.array([0.5, 0.5])
    return Decoded(b"mc", numbers, numbers, spans, given, np.ones(1), np.zeros(1), labels, offsets, [b""])


@lean
def _same(text: Any, spans: Any) -> bool:
    begin, end = spans[0, 0], spans[0, 1]
    different = 0
    for i in range(1, spans.shape[0]):
        at = spans[i, 0]
        if spans[i, 1] - at != end - begin:
            different += 1
        else:
            for j in range(end - begin):
                different += text[begin + j] != text[at + j]
    return different == 0


@lean
def _gather(numbers: Any, spans: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        begin, count = spans[i, 0], spans[i, 1] - spans[i, 0]
        for j in range(count):
            out[i, j] = numbers[begin + j]
        for j in range(count, out.shape[1]):
            out[i, j] = np.nan


@lean
def _write_messages(text: Any, spans: Any, out: Any) -> None:
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
