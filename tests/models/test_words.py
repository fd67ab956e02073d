"""What is told of many bytes at once is what looking at each tells."""

from __future__ import annotations

import numpy as np
import pytest

from models.words import MARKED, find_byte, word


def places(text: bytes, byte: int) -> list[int]:
    letters = np.frombuffer(text, np.uint8)
    out = np.full(find_byte(letters, np.uint8(byte), np.empty(0, np.int64)), -1, dtype=np.int64)
    assert find_byte(letters, np.uint8(byte), out) == len(out)
    return [int(place) for place in out]


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 128, 129, 1000])
def test_every_place_of_a_byte_is_found(size: int) -> None:
    rng = np.random.default_rng(size)
    text = rng.choice([10, 11, 138, 0], size).astype(np.uint8).tobytes()
    for byte in (10, 138, 0, 7):
        assert places(text, byte) == [at for at in range(size) if text[at] == byte]


def test_no_more_places_are_written_than_there_is_room_for() -> None:
    out = np.full(5, -1, dtype=np.int64)
    assert find_byte(np.full(3 * MARKED, 10, np.uint8), np.uint8(10), out[:3]) == 3 * MARKED
    assert out.tolist() == [0, 1, 2, -1, -1]


def test_a_word_is_eight_bytes() -> None:
    text = np.arange(100, 120, dtype=np.uint8)
    assert int(word(text, np.uint64(3))) == int.from_bytes(text[3:11].tobytes(), "little")
