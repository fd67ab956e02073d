"""Lists that are read many numbers at once hold what reading number by number gives, to the last bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats.floats import read_list
from connectors.formats.lists import read_plain
from models.words import MARKED

BEFORE = b'{"input": '
BEHIND = b', "session_id": "' + b"s" * MARKED + b'"}\0'
"""Enough for a list that ends before it to be read at once."""


def listed(text: bytes, most: int = 1000, behind: bytes = BEHIND) -> tuple[int, bytes]:
    """Where the list ends (0: it is none), and the bytes of its numbers."""
    out = np.zeros(most + MARKED)
    whole = np.frombuffer(BEFORE + text + behind, np.uint8)
    end, count = read_list(whole, len(BEFORE), most, out, out.view(np.uint64), 0)
    return end, out[:count].tobytes() if end else b""


def at_once(text: bytes, most: int = 1000, room: int = 2000) -> int:
    """How many numbers were read at once, of a list that ends with the first bracket."""
    bits = np.zeros(room, dtype=np.uint64)
    whole = np.frombuffer(BEFORE + text + BEHIND, np.uint8)
    place, none = np.uint64(len(BEFORE)), np.uint64(0)
    end, count = read_plain(whole, place, np.uint64(most), bits, none)
    assert end in (0, len(BEFORE) + text.find(b"]") + 1)
    return int(count)


short = st.one_of(
    st.tuples(
        st.sampled_from(["", "-"]), st.integers(0, 999), st.text("0123456789", min_size=1, max_size=4)
    ).map(lambda t: f"{t[0]}{t[1]}.{t[2]}"),
    st.sampled_from(["0.0", "-0.0", "0.000000", "9.999999", "999999.9", "-999999.9", "1.10"]),
)
odd = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**40), 2**40).map(str),
    st.text("0123456789.-+eE ,[]\n\t", max_size=10),
    st.sampled_from(
        ["00.5", "01.5", "-01.5", ".5", "-.5", "5.", "1..5", "1.2.3", "--1.5", "-", "1.5-", "0.1234567"]
    ),
)
between = st.sampled_from([", ", ",", ",  ", " ,", ",\n", ", -", ""])


@given(st.lists(short, min_size=1, max_size=60), st.sampled_from([", ", ","]))
def test_short_numbers_are_read_at_once(numbers: list[str], comma: str) -> None:
    text = f"[{comma.join(numbers)}]".encode()
    assert at_once(text) == len(numbers)
    assert listed(text) == (len(BEFORE) + len(text), np.array(list(map(float, numbers))).tobytes())


@given(
    st.lists(st.tuples(short, st.just(", ")), max_size=30),
    st.lists(st.tuples(odd, between), max_size=2),
    st.data(),
)
def test_any_list_is_read_as_number_by_number(
    some: list[tuple[str, str]], strange: list[tuple[str, str]], data: st.DataObject
) -> None:
    for pair in strange:
        some.insert(data.draw(st.integers(0, len(some))), pair)
    content = "".join(number + comma for number, comma in some).removesuffix(", ")
    text = f"[{content}]".encode()
    # Without what is behind it no list is read at once.
    assert listed(text) == listed(text, behind=b"\0")
    assert at_once(text) in (0, text[: text.find(b"]")].count(b",") + 1)


@given(st.lists(short, min_size=8, max_size=40), st.integers(0, 2**32))
def test_one_wrong_byte_is_seen_wherever_it_is(numbers: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = bytearray(f"[{', '.join(numbers)}]".encode())
    text[int(rng.integers(1, len(text)))] = int(rng.choice(list(b'0.-, []e"\0\x80')))
    end, found = listed(bytes(text))
    assert (end, found) == listed(bytes(text), behind=b"\0")
    if end:
        assert found == np.array(json.loads(bytes(text[: end - len(BEFORE)])), dtype=np.float64).tobytes()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 63, 64, 65])
def test_a_list_is_no_longer_than_it_may_be(count: int) -> None:
    text = f"[{', '.join(['1.5'] * count)}]".encode()
    assert at_once(text, most=count) == count
    assert at_once(text, most=count - 1) == 0
    assert listed(text, most=count)[0] and not listed(text, most=count - 1)[0]


def test_nothing_is_written_beyond_the_room_that_there_is() -> None:
    text = f"[{', '.join(['1.5'] * 60)}]".encode()
    bits = np.zeros(200, dtype=np.uint64)
    bits[60 + MARKED :] = 7
    whole = np.frombuffer(BEFORE + text + BEHIND, np.uint8)
    read_plain(whole, np.uint64(len(BEFORE)), np.uint64(60), bits[: 60 + MARKED], np.uint64(0))
    assert (bits[60 + MARKED :] == 7).all()
    assert at_once(text, room=60) == 0
    assert listed(text)[0]
