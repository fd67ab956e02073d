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
choose. Ordinary records are read here by a typed decoder; what it refuses is read again by `careful`.
"""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors.formats.careful import BYTE_ORDER_MARK, read_record, too_deep
from connectors.formats.fields import (
    ID_LENGTH,
    MAX_CLASSES,
    MAX_SECONDS,
    BadRecord,
    check_not_future,
    numbers_from_base64,
    seconds_from_text,
)
from detector.query import DeadLetter, FloatArray, RawBatch, Record

_Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Text = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH)]
_OptionalText = Annotated[str, Meta(max_length=ID_LENGTH)] | None
_OptionalId = Annotated[str, Meta(max_length=ID_LENGTH)] | _Integer | None


class _Encoded(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    b64: str
    dtype: str | None = None
    shape: list[int] | None = None


_Input = Annotated[list[float], Meta(min_length=1)] | Annotated[str, Meta(min_length=1)] | _Encoded


class _Fields(msgspec.Struct, gc=False, kw_only=True):
    """The fields of an ordinary record, as JSON has them."""

    timestamp: Annotated[float, Meta(gt=0, le=MAX_SECONDS)] | str
    model_id: _Text
    client_id: _Text | _Integer
    session_id: _OptionalId = None
    request_id: _OptionalId = None
    source_ip: _OptionalText = None
    user_agent: _OptionalText = None
    tenant_id: _OptionalId = None
    probabilities: Annotated[list[float], Meta(max_length=MAX_CLASSES)] | None = None
    confidence: float | None = None
    label: _Integer | _OptionalText = None


class _Plain(_Fields, gc=False, kw_only=True, forbid_unknown_fields=True):
    input: _Input


class _Open(_Fields, gc=False, kw_only=True):
    """With unknown fields, which the decoder skips; the input, perhaps nested, is decoded afterwards."""

    input: msgspec.Raw


_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_open = msgspec.json.Decoder(_Open).decode
_decode_rows = msgspec.json.Decoder(list[list[float]]).decode
_decode_planes = msgspec.json.Decoder(list[list[list[float]]]).decode
_decode_input = msgspec.json.Decoder(_Input).decode

_PLAIN_NESTING = 3
"""Levels of the deepest plain record: the record, a base64 input, its shape."""


class NativeDecoder:
    """Turns raw records into `Record`s and dead letters; never raises for what a record holds.

    Limits: `record_bytes` per record, `nesting` levels of lists and objects (the record itself is one),
    `input_length` numbers per input.
    """

    def __init__(self, *, record_bytes: int, nesting: int, input_length: int) -> None:
        self._record_bytes = record_bytes
        self._nesting = nesting
        self._input_length = input_length

    def decode(self, batch: RawBatch) -> tuple[list[Record], list[DeadLetter]]:
        """Every value of the batch as one record or one dead letter, each list in the batch's order.

        Blank values (an empty line, a deleted Kafka value) give neither.
        """
        records: list[Record] = []
        letters: list[DeadLetter] = []
        for raw, offset in zip(batch.values, batch.offsets, strict=True):
            try:
                record = self._read_plain(raw, offset, batch.latest)
                if record is None:
                    if not raw.removeprefix(BYTE_ORDER_MARK).strip():
                        continue
                    record = self._read_other(raw, offset, batch.latest)
                records.append(record)
            except BadRecord as bad:
                letters.append(DeadLetter(bad.reason, bad.detail, raw, batch.source, batch.partition, offset))
        return records, letters

    def _read_plain(self, raw: bytes, offset: int, latest: float) -> Record | None:
        """A record of known fields only and with a flat input, or None."""
        if len(raw) > self._record_bytes or self._nesting < _PLAIN_NESTING:
            return None
        try:
            fields = _decode_plain(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return self._record(fields, fields.input, raw, offset, latest)

    def _read_other(self, raw: bytes, offset: int, latest: float) -> Record:
        """A record with unknown fields or a nested input; anything else is read carefully."""
        if len(raw) > self._record_bytes:
            raise BadRecord("too_large", f"{len(raw)} bytes, limits.record_bytes is {self._record_bytes}")
        # What the decoder skips it does not look into, so depth and encoding are settled first.
        if _is_utf8(raw) and not too_deep(raw, self._nesting):
            try:
                fields = _decode_open(raw)
                found = _open_input(fields.input)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                record = self._record(fields, found, raw, offset, latest)
                if record is not None:
                    return record
        return read_record(raw, offset, latest, self._nesting, self._input_length)

    def _record(
        self, fields: _Fields, found: list[float] | str | _Encoded, raw: bytes, offset: int, latest: float
    ) -> Record | None:
        """The canonical record; None when it needs the careful reading."""
        seconds = fields.timestamp
        numbers: list[float] | FloatArray | str
        if isinstance(seconds, str):
            seconds = seconds_from_text(seconds)
        if seconds > latest:
            check_not_future(seconds, latest)
        if isinstance(found, _Encoded):
            dtype = "float32" if found.dtype is None else found.dtype
            numbers = numbers_from_base64(found.b64, dtype, found.shape, self._input_length)
        elif isinstance(found, list) and not 0 < len(found) <= self._input_length:
            return None
        else:
            numbers = found
        session, request, tenant = fields.session_id, fields.request_id, fields.tenant_id
        return Record(
            seconds,
            fields.model_id,
            str(fields.client_id),
            numbers,
            "" if session is None else str(session),
            "" if request is None else str(request),
            fields.source_ip or "",
            fields.user_agent or "",
            "" if tenant is None else str(tenant),
            fields.probabilities or None,
            fields.confidence,
            None if fields.label == "" else fields.label,
            offset,
            raw,
        )


def _is_utf8(raw: bytes) -> bool:
    if raw.isascii():
        return True
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _open_input(raw: msgspec.Raw) -> list[float] | str | _Encoded:
    """An input by its first brackets: rows [[...]] and planes [[[...]]] flattened, or any flat one."""
    brackets = bytes(memoryview(raw)[:64]).translate(None, b" \t\r\n")
    if brackets.startswith(b"[[["):
        return list(chain.from_iterable(chain.from_iterable(_decode_planes(raw))))
    if brackets.startswith(b"[["):
        return list(chain.from_iterable(_decode_rows(raw)))
    found: list[float] | str | _Encoded = _decode_input(raw)
    return found
