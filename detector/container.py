"""Named arrays and JSON in one checked file: how profiles and states are stored, without pickle."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import Arrays

MAGIC = b"querywatch 1\n"
_META = "__meta__"
_DIGITS = 64
"""Of the checksum, in hexadecimal."""


class Damaged(ValueError):
    """The bytes are not what `pack` wrote; the text says how they differ."""


def pack(
    meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.generic]], *, compressed: bool = True
) -> bytes:
    """Bytes holding `meta` (JSON) and `arrays`; the same content gives the same bytes.

    Not to be compressed is what must be quick: numbers of open sessions shrink by a third at most, and that
    takes twenty times as long as to copy them.
    """
    body = io.BytesIO()
    text = json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()
    everything: dict[str, Any] = {_META: np.frombuffer(text, dtype=np.uint8), **dict(sorted(arrays.items()))}
    body.write(MAGIC + b"0" * _DIGITS + b"\n")
    begin = body.tell()
    (np.savez_compressed if compressed else np.savez)(body, **everything)
    with body.getbuffer() as whole:
        whole[len(MAGIC) : len(MAGIC) + _DIGITS] = hashlib.sha256(whole[begin:]).hexdigest().encode()
    return body.getvalue()


def unpack(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """What was packed. Raises Damaged for another format, a wrong checksum or unreadable content."""
    if not data.startswith(MAGIC):
        raise Damaged("not a querywatch file of format 1")
    begin = len(MAGIC) + _DIGITS + 1
    payload = memoryview(data)[begin:]
    if hashlib.sha256(payload).hexdigest().encode() + b"\n" != data[len(MAGIC) : begin]:
        raise Damaged("the checksum does not match: the file is truncated or was changed")
    file = io.BytesIO(data)
    file.seek(begin)
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name != _META}
            meta = json.loads(stored[_META].tobytes())
    except MemoryError:
        raise
    except Exception as error:  # zipfile and numpy have a dozen kinds for bytes that they did not write
        raise Damaged(f"the content cannot be read: {error}") from error
    return meta, arrays
