"""A file that comes with querywatch and is not what it was: one error, which names it and says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.recogniser import SHIPPED, load

GOOD = SHIPPED.read_bytes()


def without_meta(path: Path) -> None:
    with np.load(SHIPPED, allow_pickle=False) as stored:
        np.savez(path, **{name: stored[name] for name in stored.files if name != "meta"})


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(GOOD[: len(GOOD) // 2]),
        lambda path: path.write_bytes(GOOD[:5000] + bytes([GOOD[5000] ^ 1]) + GOOD[5001:]),
        lambda path: path.write_bytes(b"no arrays at all"),
        lambda path: path.mkdir(),
        without_meta,
        one_array,
    ],
    ids=["missing", "empty", "cut", "a bit flipped", "text", "directory", "another version", "no archive"],
)
def test_it_is_told_whatever_is_wrong(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "recogniser.npz"
    spoil(path)
    with pytest.raises(OSError, match="it comes with querywatch: install that again") as raised:
        load(path)
    assert raised.value.filename == str(path)


def test_one_that_is_whole_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recogniser.npz"
    path.write_bytes(GOOD)
    assert load(path).version == load(SHIPPED).version
