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

from detector import spans as spans_of_text
from detector.keys import Keys, keys_of_messages
from detector.query import FloatArray, IntArray, Record
from detector.records import CLIENT, MODEL, NAMES, Records, label_code
from detector.slices import Slices

if TYPE_CHECKING:
    from typing_extensions import Buffer

INPUT, PROBABILITIES = len(NAMES), len(NAMES) + 1
"""Columns of `spans`, behind the ids."""
HAS_PROBABILITIES, HAS_CONFIDENCE, HAS_LABEL = 1, 2, 4
"""Bits of `given`."""
LONG = 4096
"""Where there are more bytes of text for a record, its ids are made one by one: most text is of others."""


class Decoded(Records):
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
        values: Slices,
    ) -> None:
        self.text, self.inputs, self.answers = text, inputs, answers
        self.spans, self.given = spans, given
        self.times, self.confidences, self.labels = times, confidences, labels
        self.offsets, self.values = offsets, values

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Decoded: ...

    def __getitem__(self, index: int | slice) -> Record | Decoded:
        if isinstance(index, slice):
            return self._part(index)
        row = range(len(self))[index]
        return next(iter(self._part(slice(row, row + 1))))

    def take(self, rows: IntArray) -> Decoded:
        """The records of these rows."""
        return self._part(rows)

    def filled(self, rows: IntArray, records: Sequence[Record]) -> Decoded | None:
        """The same with these records, of finite numbers, in these rows. None where one of them has what
        there are no columns for: text as its input or label, ids that are no ASCII."""
        ids = [[getattr(record, name) for name in NAMES] for record in records]
        texts = ["".join(row) for row in ids]
        answers = [() if record.probabilities is None else record.probabilities for record in records]
        if str in {kind for record in records for kind in (type(record.input), type(record.label))}:
            return None
        if not all(map(str.isascii, texts)):
            return None
        lengths = np.array([list(map(len, row)) for row in ids], dtype=np.int64).reshape(-1, len(NAMES))
        counts = np.array(
            [[len(r.input), len(a)] for r, a in zip(records, answers, strict=True)], dtype=np.int64
        )
        counts = counts.reshape(-1, 2)
        spans, given = self.spans.copy(), self.given.copy()
        times, confidences, labels = self.times.copy(), self.confidences.copy(), self.labels.copy()
        ends = len(self.text) + np.cumsum(lengths.reshape(-1)).reshape(lengths.shape)
        spans[rows, :INPUT] = np.stack([ends - lengths, ends], axis=2)
        ends = np.cumsum(counts, axis=0) + np.array([len(self.inputs), len(self.answers)])
        spans[rows, INPUT:] = np.stack([ends - counts, ends], axis=2)
        for row, record in zip(rows.tolist(), records, strict=True):
            times[row], given[row] = record.timestamp, 0
            if record.probabilities is not None:
                given[row] |= HAS_PROBABILITIES
            if record.confidence is not None:
                confidences[row], given[row] = record.confidence, given[row] | HAS_CONFIDENCE
            if record.label is not None:
                labels[row], given[row] = record.label, given[row] | HAS_LABEL
        return Decoded(
            self.text + "".join(texts).encode("ascii"),
            np.concatenate([self.inputs, *(np.asarray(record.input, np.float64) for record in records)]),
            np.concatenate([self.answers, *(np.asarray(answer, np.float64) for answer in answers)]),
            spans,
            given,
            times,
            confidences,
            labels,
            self.offsets,
            self.values,
        )

    def _part(self, rows: IntArray | slice) -> Decoded:
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
            self.values.take(rows),
        )

    def __iter__(self) -> Iterator[Record]:
        """All records, made at one go."""

        def lists(of: FloatArray, which: int) -> list[memoryview[float]]:
            numbers = memoryview(cast("Buffer", of)).cast("B").cast("d")
            return [numbers[i:j] for i, j in zip(*self.spans[:, which].T.tolist(), strict=True)]

        def where(bit: int, values: Sequence[Any]) -> Iterable[Any]:
            """The values where a row has them, None elsewhere."""
            has = (self.given & bit) > 0
            if not has.any():
                return repeat(None)
            return [value if own else None for value, own in zip(values, has.tolist(), strict=True)]

        model, client, *optional = map(self.ids, range(INPUT))
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

    def models(self) -> tuple[list[str], IntArray]:
        """As of all `Records`."""
        spans = self.spans[:, MODEL : MODEL + 1]
        if len(spans) and (spans == spans[0]).all():  # as the decoder keeps a name that comes again
            codes, firsts = np.zeros(len(spans), dtype=np.int64), np.zeros(1, dtype=np.int64)
        else:
            codes, firsts = spans_of_text.number(self._letters, spans)
        return [self.text[i:j].decode("ascii") for i, j in spans[firsts, 0].tolist()], codes

    def ids(self, which: int) -> list[str]:
        """As of all `Records`."""
        begins, ends = self.spans[:, which].T
        if not (ends > begins).any():
            return [""] * len(self)
        one_by_one = len(self.text) > LONG * len(self)
        text = self.text if one_by_one else self.text.decode("latin-1")  # one character a byte
        found = [text[i:j] for i, j in zip(begins.tolist(), ends.tolist(), strict=True)]
        return [part if isinstance(part, str) else part.decode("ascii") for part in found]

    def keys(self, *ids: int) -> Keys:
        """As of all `Records`."""
        every = self.spans.take(ids, axis=1)
        codes, firsts = spans_of_text.number(self._letters, every)
        spans = every[firsts]
        ends = np.cumsum((spans[:, :, 1] - spans[:, :, 0]).sum(axis=1) + 4 * len(ids))
        messages = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
        spans_of_text.write_messages(self._letters, spans, messages)
        return keys_of_messages(messages, ends)[codes]

    @property
    def _letters(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self.text, dtype=np.uint8)

    def input_lengths(self) -> IntArray:
        """As of all `Records`."""
        return self.spans[:, INPUT, 1] - self.spans[:, INPUT, 0]

    def answer_lengths(self) -> IntArray:
        """As of all `Records`."""
        lengths = self.spans[:, PROBABILITIES, 1] - self.spans[:, PROBABILITIES, 0]
        return np.where(self.given & HAS_PROBABILITIES, lengths, 0)

    def input_matrix(self) -> FloatArray:
        """As of all `Records`."""
        n, spans = len(self), self.spans[:, INPUT]
        if n == 0:
            return np.empty((0, 0))
        begin, end = spans[0].tolist()
        width = end - begin
        if (spans[:, 1] - spans[:, 0] != width).any():
            raise ValueError("the inputs of a batch must have one length")
        if (spans[:, 0] == begin + width * np.arange(n)).all():
            return self.inputs[begin : begin + n * width].reshape(n, width)  # as they lie there
        out = np.empty((n, width))
        spans_of_text.gather(self.inputs, spans, out)
        return out

    def answer_matrix(self) -> FloatArray:
        """As of all `Records`."""
        out = np.empty((len(self), int(self.answer_lengths().max(initial=0))))
        spans_of_text.gather(self.answers, self.spans[:, PROBABILITIES], out)
        return out

    def given_confidences(self) -> FloatArray | None:
        """As of all `Records`."""
        has = (self.given & HAS_CONFIDENCE) > 0
        return np.where(has, self.confidences, np.nan) if has.any() else None

    def label_codes(self, best: IntArray) -> IntArray:
        """As of all `Records`."""
        has = (self.given & HAS_LABEL) > 0
        codes = np.where(has, self.labels, best)
        for row in np.flatnonzero(has & ((codes < 0) | (codes >= 2**31))).tolist():
            codes[row] = label_code(int(codes[row]))
        return codes


def plain_rows(model: str, client: str, times: FloatArray, inputs: FloatArray, offset: int) -> Decoded:
    """Records of one client with these times [n] and inputs [n, d], numbered from `offset` on, as a decoder
    would find them. Names are ASCII."""
    n, d = inputs.shape
    rows, widths = np.arange(n), [len(model), len(client)]
    spans = np.zeros((n, PROBABILITIES + 1, 2), dtype=np.int64)
    spans[:, MODEL], spans[:, CLIENT] = [0, widths[0]], [widths[0], sum(widths)]
    spans[:, INPUT] = np.stack([d * rows, d * (rows + 1)], axis=1)
    spans[:, PROBABILITIES] = np.stack([2 * rows, 2 * (rows + 1)], axis=1)
    return Decoded(
        (model + client).encode("ascii"),
        inputs.reshape(-1),
        np.full(2 * n, 0.5),
        spans,
        np.full(n, HAS_PROBABILITIES),
        times,
        np.zeros(n),
        np.zeros(n, dtype=np.int64),
        rows + offset,
        Slices.of([b""] * n),
    )
