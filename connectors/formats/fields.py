"""What every log format needs for its fields: one error, short ids, readable values, base64 inputs."""

from __future__ import annotations

import binascii
import hashlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from connectors.formats.times import rfc3339_seconds
from detector.query import FloatArray

ID_LENGTH = 512
"""Longest id kept as it is [characters]."""
MAX_CLASSES = 32_768
"""Most probabilities of one record: a batch is padded to its longest, so this bounds its memory."""
MAX_SECONDS = 1e11
"""Epoch seconds beyond this (year 5138) are milliseconds or finer."""

_SHOWN = 60
_SURROGATES = re.compile("[\ud800-\udfff]")
_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "uint8": np.dtype("u1"),
}


class BadRecord(Exception):
    """A record that cannot be used: `reason` is one of `detector.query.REASONS`, `detail` for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def show(value: object) -> str:
    """A JSON value named for a person, at most about 80 printable ASCII characters."""
    if isinstance(value, str):
        text = json.dumps(value[:_SHOWN])
        return f"string {text[:76]}{'...' if len(value) > _SHOWN or len(text) > 76 else ''}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return "an integer of more than 60 digits"
    if isinstance(value, int | float):
        return f"number {value!r}"
    return "a list" if isinstance(value, list) else "an object"


def shorten(text: str) -> str:
    """An id as it is kept: longer ones become their first 64 characters, `~` and 32 hexadecimal digits.

    The digits are of the SHA-256 of the whole id, so that long ids stay apart. Halves of surrogate
    pairs, which no UTF-8 text can carry, become U+FFFD.
    """
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
    if len(text) <= ID_LENGTH:
        return text
    return f"{text[:64]}~{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def seconds_from_text(text: str) -> float:
    """The timestamp of an RFC 3339 string. Raises BadRecord `bad_time`."""
    try:
        seconds = rfc3339_seconds(text)
    except ValueError as error:
        raise BadRecord("bad_time", f"timestamp: {show(text)} {error}") from None
    return seconds_from_number(seconds)


def seconds_from_number(seconds: float) -> float:
    """Epoch seconds as they are. Raises BadRecord `bad_time` unless 0 < seconds <= `MAX_SECONDS`."""
    if not math.isfinite(seconds) or seconds <= 0:
        raise BadRecord("bad_time", f"timestamp: {seconds!r} is no positive number of epoch seconds")
    if seconds > MAX_SECONDS:
        raise BadRecord(
            "bad_time",
            f"timestamp: {seconds!r} looks like milliseconds or finer: divide by 1000 to get seconds",
        )
    return seconds


def check_not_future(seconds: float, latest: float) -> None:
    """Raises BadRecord `future_time` when a timestamp lies beyond the newest accepted one."""
    if seconds > latest:
        ahead = seconds - latest
        raise BadRecord(
            "future_time", f"timestamp: {seconds!r} is {ahead:.0f} s beyond the newest accepted time"
        )


def numbers_from_base64(text: str, dtype: str, shape: Sequence[int] | None, input_length: int) -> FloatArray:
    """A base64 input (little-endian, row-major) as a flat float64 array [d].

    `dtype` is float32, float64 or uint8; without a `shape` the bytes say how many numbers there are.
    Raises BadRecord `bad_encoding`, `input_empty` or `input_too_long`.
    """
    if dtype not in _DTYPES:
        raise BadRecord("bad_encoding", f"input.dtype: {show(dtype)}; use float32, float64 or uint8")
    size = _DTYPES[dtype].itemsize
    if shape is not None and any(side < 0 for side in shape):
        raise BadRecord("bad_encoding", "input.shape: has a negative side")
    if len(text) // 4 * 3 - 2 > input_length * size:
        raise BadRecord("input_too_long", f"input: more than {input_length} numbers (limits.input_length)")
    try:
        data = binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError as error:
        raise BadRecord("bad_encoding", f"input.b64: is not base64 ({error})") from None
    if len(data) % size:
        raise BadRecord("bad_encoding", f"input.b64: {len(data)} bytes are no whole number of {dtype} values")
    count = len(data) // size
    if shape is not None and math.prod(shape) != count:
        raise BadRecord(
            "bad_encoding", f"input.shape: does not match the {count} {dtype} values of input.b64"
        )
    if count == 0:
        raise BadRecord("input_empty", "input.b64: holds no numbers")
    if count > input_length:
        raise BadRecord("input_too_long", f"input: {count} numbers, limits.input_length is {input_length}")
    with np.errstate(invalid="ignore"):  # a signalling NaN is refused with all others, later
        return np.frombuffer(data, dtype=_DTYPES[dtype]).astype(np.float64)
