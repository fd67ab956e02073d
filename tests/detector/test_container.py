"""The container of profiles and states: checked, repeatable, never code."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

import numpy as np
import pytest

from detector.container import MAGIC, Damaged, pack, unpack

META = {"kind": "test", "list": [1, "two", None], "nested": {"ä": 0.1}}


def arrays() -> dict[str, Any]:
    return {
        "floats": np.array([[0.1, np.nan, -np.inf], [1e-320, 2.0, 3.0]]),
        "a/b": np.arange(5, dtype=np.int64),
        "none": np.empty((0, 3), dtype=np.float32),
        "flags": np.array([True, False]),
    }


def test_what_is_packed_comes_back() -> None:
    meta, found = unpack(pack(META, arrays()))
    assert meta == META
    assert set(found) == set(arrays())
    for name, array in arrays().items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_the_same_content_gives_the_same_bytes() -> None:
    backwards = dict(reversed(arrays().items()))
    assert pack(META, arrays()) == pack(dict(reversed(META.items())), backwards)
    assert pack(META, arrays()) != pack({**META, "kind": "other"}, arrays())


@pytest.mark.parametrize("position", [len(MAGIC) + 3, len(MAGIC) + 70, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    data = bytearray(pack(META, arrays()))
    data[position] ^= 1
    with pytest.raises(Damaged, match="checksum"):
        unpack(bytes(data))


@pytest.mark.parametrize("length", [len(MAGIC), len(MAGIC) + 64, 200, -1])
def test_a_missing_end_is_noticed(length: int) -> None:
    with pytest.raises(Damaged, match="checksum"):
        unpack(pack(META, arrays())[:length])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"querywatch 2\nrest", pickle.dumps(META)])
def test_other_formats_are_refused(data: bytes) -> None:
    with pytest.raises(Damaged, match="not a querywatch file"):
        unpack(data)


class _Trap:
    """Unpickling it would be noticed."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize("name", ["x", "__meta__"])
def test_an_array_of_objects_is_refused(name: str) -> None:
    body = io.BytesIO()
    content: dict[str, Any] = {"__meta__": np.frombuffer(b"{}", dtype=np.uint8), "x": np.zeros(1)}
    np.savez_compressed(body, **{**content, name: np.array([_Trap()], dtype=object)})
    payload = body.getvalue()
    with pytest.raises(Damaged):
        unpack(MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def archive(changes: dict[int, int]) -> bytes:
    """The payload of a container, with some bytes changed."""
    data = bytearray(pack(META, arrays())[len(MAGIC) + 65 :])
    for at, byte in changes.items():
        data[at] = byte
    return bytes(data)


DIRECTORY = archive({}).index(b"PK\x01\x02")
"""Where the first entry of the zip file's directory begins."""
STREAM = 30 + int.from_bytes(archive({})[26:28], "little") + int.from_bytes(archive({})[28:30], "little")
"""Where the first entry's content begins."""


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not a zip file",
        b"PK\x05\x06" + bytes(18),
        archive({DIRECTORY + 8: 1}),  # says that it is encrypted
        archive({DIRECTORY + 10: 99}),  # compressed in a way that nobody knows
        archive({STREAM + n: 0xFF for n in range(12)}),  # no deflate stream
    ],
)
def test_content_that_cannot_be_read_is_refused(payload: bytes) -> None:
    with pytest.raises(Damaged):
        unpack(MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
