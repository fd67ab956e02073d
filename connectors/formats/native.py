"""The native log record: newline-delimited JSON, one query an object.

    timestamp      number (epoch seconds) or RFC 3339 string with a zone             required
    model_id       string                                                            required
    client_id      string (API key id, account)                                      required
    input          list of numbers, any nesting | text | {"b64", "dtype", "shape"}   required
    session_id, request_id, source_ip, user_agent, tenant_id      strings, optional
    probabilities  list of numbers | confidence: number | label: integer or string   any, or none

Unknown fields are ignored; null and an empty list or string stand for absent; of a key given twice the
last counts. Ids may be integers, as some gateways log them: they are kept as decimal strings. An id or
label of more than 512 characters is shortened (`fields.shorten`), never refused: ids are the client's to
choose. Ordinary records are read many at a time by `block`; all others here, one by one, by simdjson; what is
in any way unusual is read again by `careful`. All three give the same record where they give one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import numpy as np
from simdjson import Array, Object, Parser

from connectors.formats.careful import BYTE_ORDER_MARK, read_record, too_deep
from connectors.formats.fields import (
    ID_LENGTH,
    MAX_CLASSES,
    MAX_SECONDS,
    BadRecord,
    numbers_from_base64,
    seconds_from_text,
)
from detector.query import DeadLetter, Numbers, RawBatch, Record
from detector.slices import Slices

_REQUIRED = ("timestamp", "model_id", "client_id", "input")
_NAMES = ("session_id", "request_id", "source_ip", "user_agent", "tenant_id")
_ANSWERS = ("probabilities", "confidence", "label")
FEWEST_OF_A_BLOCK = 16
"""Of fewer values each is read alone."""
_SMALLEST_NESTING = 3
"""Levels of the deepest ordinary record: the record, a base64 input, its shape."""


class _Unusual(Exception):
    """The record needs the careful reading."""


class _Shape(NamedTuple):
    """The keys of a record: which optional ones there are, and the unknown ones."""

    names: tuple[bool, ...]
    answers: tuple[bool, ...]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, keys: Iterable[str]) -> _Shape | None:
        """The shape of a record with these keys; None when one is missing or is there twice."""
        found = list(keys)
        present = set(found)
        if len(present) < len(found) or not present.issuperset(_REQUIRED):
            return None
        return cls(
            tuple(name in present for name in _NAMES),
            tuple(name in present for name in _ANSWERS),
            tuple(sorted(present.difference(_REQUIRED, _NAMES, _ANSWERS))),
        )


class NativeDecoder:
    """Turns raw records into `Record`s and dead letters; never raises for what a record holds.

    Limits: `record_bytes` per record, `nesting` levels of lists and objects (the record itself is one),
    `input_length` numbers per input.
    """

    def __init__(self, *, record_bytes: int, nesting: int, input_length: int) -> None:
        self._record_bytes = record_bytes
        self._nesting = nesting
        self._input_length = input_length
        self._parser = Parser()
        # Records of one log mostly have the same keys. By their number: whoever has as many keys as the
        # shape says and every one of them has those and no other, each once.
        self._shapes: dict[int, _Shape | None] = {}
        # Here, so that `--help` does not load the compiler, and the first records do not wait for it.
        from connectors.formats import block

        self._block = block
        block.read_batch(Slices.lines(b"\n\0"), [0], 0.0, record_bytes, input_length)

    def decode(self, batch: RawBatch) -> tuple[Sequence[Record], list[DeadLetter]]:
        """Every value of the batch as one record or one dead letter, each list in the batch's order.

        Blank values (an empty line, a deleted Kafka value) give neither. The records are `Decoded` where some
        are ordinary and the others have columns, too.
        """
        records: list[Record] = []
        letters: list[DeadLetter] = []
        if len(batch.values) < FEWEST_OF_A_BLOCK or self._nesting < _SMALLEST_NESTING:
            self._read_each(batch, range(len(batch.values)), records, letters)
            return records, letters
        found, ordinary = self._block.read_batch(
            Slices.of(batch.values), batch.offsets, batch.latest, self._record_bytes, self._input_length
        )
        if ordinary.all():
            return found, letters
        rows: list[int] = []
        for row in np.flatnonzero(~ordinary).tolist():
            before = len(records)
            self._read_each(batch, [row], records, letters)
            rows += [row] * (len(records) - before)
        whole = found.filled(np.array(rows, dtype=np.int64), records) if ordinary.any() else None
        if whole is not None:
            ordinary[rows] = True
            return whole if ordinary.all() else whole.take(np.flatnonzero(ordinary)), letters
        others = dict(zip(rows, records, strict=True))
        read = iter(found.take(np.flatnonzero(ordinary)))
        kept = sorted([*np.flatnonzero(ordinary).tolist(), *rows])
        return [others[row] if row in others else next(read) for row in kept], letters

    def _read_each(
        self, batch: RawBatch, rows: Iterable[int], records: list[Record], letters: list[DeadLetter]
    ) -> None:
        """Read these values of a batch one by one."""
        read = self._read_ordinary
        latest = batch.latest
        for row in rows:
            raw, offset = batch.values[row], batch.offsets[row]
            record = read(raw, offset, latest)
            if record is None:
                if not raw.removeprefix(BYTE_ORDER_MARK).strip():
                    continue
                try:
                    record = self._read_carefully(raw, offset, latest)
                except BadRecord as bad:
                    letters.append(
                        DeadLetter(bad.reason, bad.detail, raw, batch.source, batch.partition, offset)
                    )
                    continue
            records.append(record)

    def _read_carefully(self, raw: bytes, offset: int, latest: float) -> Record:
        if len(raw) > self._record_bytes:
            raise BadRecord("too_large", f"{len(raw)} bytes, limits.record_bytes is {self._record_bytes}")
        return read_record(raw, offset, latest, self._nesting, self._input_length)

    def _read_ordinary(self, raw: bytes, offset: int, latest: float) -> Record | None:
        """The record, or None when it needs the careful reading.

        Nothing parsed outlives the call: the parser is used again for the next record.
        """
        if len(raw) > self._record_bytes or self._nesting < _SMALLEST_NESTING:
            return None
        try:
            document = cast(Object, self._parser.parse(raw))
            count = len(document)
            shape = self._shapes.get(count)
            if shape is not None:
                try:
                    return self._record(document, shape, raw, offset, latest)
                except KeyError:
                    pass
            self._shapes[count] = shape = _Shape.of(document)
            return None if shape is None else self._record(document, shape, raw, offset, latest)
        except (ValueError, TypeError, KeyError, RuntimeError, _Unusual, BadRecord):
            # ValueError is also for what is no UTF-8, TypeError for a value of another type, RuntimeError for
            # an integer of more than 64 bits.
            return None

    def _record(self, document: Object, shape: _Shape, raw: bytes, offset: int, latest: float) -> Record:
        """The record of a document with the keys of `shape`.

        Raises KeyError when it has others, and for the careful reading _Unusual, TypeError or BadRecord.
        """
        seconds = document["timestamp"]
        if type(seconds) is not float:
            seconds = _seconds(seconds)
        if not 0.0 < seconds <= latest or seconds > MAX_SECONDS:
            raise _Unusual
        found = document["input"]
        numbers = self._flat(found) if type(found) is Array else None
        with_session, with_request, with_ip, with_agent, with_tenant = shape.names
        with_probabilities, with_confidence, with_label = shape.answers
        if shape.unknown:
            for name in shape.unknown:
                document[name]
        if (shape.unknown or numbers is None) and too_deep(raw, self._nesting):
            raise _Unusual
        return Record(
            seconds,
            _required(document["model_id"]),
            _required(document["client_id"]),
            self._input(found) if numbers is None else numbers,
            _name(document["session_id"]) if with_session else "",
            _name(document["request_id"]) if with_request else "",
            _name(document["source_ip"]) if with_ip else "",
            _name(document["user_agent"]) if with_agent else "",
            _name(document["tenant_id"]) if with_tenant else "",
            _probabilities(document["probabilities"]) if with_probabilities else None,
            _confidence(document["confidence"]) if with_confidence else None,
            _label(document["label"]) if with_label else None,
            offset,
            raw,
        )

    def _flat(self, found: Array) -> Numbers | None:
        """The numbers of a list; None when it holds lists itself."""
        count = len(found)
        if count == 0 or type(found[0]) is Array:
            return None
        numbers = memoryview(found.as_buffer(of_type="d")).cast("d")
        if len(numbers) != count:
            return None
        if count > self._input_length:
            raise _Unusual
        return numbers

    def _input(self, found: object) -> Numbers | str:
        """Any other input: text, base64, nested lists."""
        if type(found) is str:
            if not found:
                raise _Unusual
            return found
        if type(found) is Object:
            if not {"b64"} <= set(found) <= {"b64", "dtype", "shape"} or len(set(found)) < len(found):
                raise _Unusual
            text, dtype = found["b64"], found.get("dtype")
            sides = cast("Array | None", found.get("shape"))
            if type(text) is not str:
                raise _Unusual
            shape = None if sides is None else [_side(side) for side in sides]
            return numbers_from_base64(
                text, "float32" if dtype is None else _required(dtype), shape, self._input_length
            )
        if type(found) is Array:
            numbers = memoryview(found.as_buffer(of_type="d")).cast("d")
            if 0 < len(numbers) <= self._input_length:
                return numbers
        raise _Unusual


def _seconds(value: object) -> float:
    if type(value) is int:
        return float(value)
    if type(value) is str:
        return seconds_from_text(value)
    raise _Unusual


def _required(value: object) -> str:
    if type(value) is str and 0 < len(value) <= ID_LENGTH:
        return value
    if type(value) is int:
        return str(value)
    raise _Unusual


def _name(value: object) -> str:
    if type(value) is str and len(value) <= ID_LENGTH:
        return value
    if type(value) is int:
        return str(value)
    if value is None:
        return ""
    raise _Unusual


def _side(value: object) -> int:
    if type(value) is int:
        return value
    raise _Unusual


def _probabilities(found: object) -> Numbers | None:
    if type(found) is Array:
        count = len(found)
        if count == 0:
            return None
        if count > MAX_CLASSES or type(found[0]) is Array:
            raise _Unusual
        numbers = memoryview(found.as_buffer(of_type="d")).cast("d")
        if len(numbers) == count:
            return numbers
    elif found is None:
        return None
    raise _Unusual


def _confidence(value: object) -> float | None:
    if value is None or type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise _Unusual


def _label(value: object) -> int | str | None:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    if type(value) is str and len(value) <= ID_LENGTH:
        return value or None
    if value is None:
        return None
    raise _Unusual
