"""Named arrays and JSON in one checked file: how profiles and states are stored, without pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC = b"querywatch 1\n"
Arrays = dict[str, npt.NDArray[np.generic]]
_META = "__meta__"


class Damaged(ValueError):
    """The bytes are not what `pack` wrote; the text says how they differ."""


def pack(meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[np.generic]]) -> bytes:
    """Bytes holding `meta` (JSON) and `arrays`; the same content gives the same bytes."""
    body = io.BytesIO()
    text = json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()
    everything: dict[str, Any] = {_META: np.frombuffer(text, dtype=np.uint8), **dict(sorted(arrays.items()))}
    np.savez_compressed(body, **everything)
    payload = body.getvalue()
    return MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def unpack(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """What was packed. Raises Damaged for another format, a wrong checksum or unreadable content."""
    if not data.startswith(MAGIC):
        raise Damaged("not a querywatch file of format 1")
    digest, _, payload = data[len(MAGIC) :].partition(b"\n")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise Damaged("the checksum does not match: the file is truncated or was changed")
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name != _META}
            meta = json.loads(stored[_META].tobytes())
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise Damaged(f"the content cannot be read: {error}") from error
    return meta, arrays
