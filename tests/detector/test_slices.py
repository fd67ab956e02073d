"""Byte strings as places in texts: whatever is asked of them, they are the strings that went in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import slices
from detector.slices import END, NONE, Slices

values = st.lists(st.binary(max_size=12), max_size=30)


def cut(texts: list[bytes], size: int) -> Slices:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "TEXT_BYTES", size)
        return Slices.of(texts)


@given(values, st.integers(1, 40), st.data())
def test_some_of_the_strings_are_those_strings(strings: list[bytes], size: int, data: st.DataObject) -> None:
    whole = cut(strings, size)
    assert list(whole) == strings
    assert len(whole) == len(strings)
    assert whole.sizes.tolist() == [len(string) for string in strings]
    assert [whole[row] for row in range(len(strings))] == strings
    begin, end = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))
    assert list(whole[begin:end]) == strings[begin:end]
    rows = sorted(data.draw(st.sets(st.integers(0, len(strings) - 1)))) if strings else []
    some = whole.take(np.array(rows, dtype=np.int64))
    assert list(some) == [strings[row] for row in rows]


@given(values, st.integers(1, 40), st.lists(st.integers(0, 30), max_size=4))
def test_parts_come_together_again(strings: list[bytes], size: int, cuts: list[int]) -> None:
    whole = cut(strings, size)
    bounds = [0, *sorted(cuts), 99]
    parts = [whole[i:j] for i, j in pairwise(bounds)]
    assert list(Slices.joined([*parts, NONE])) == strings
    assert list(Slices.joined(parts)) == strings


@given(values, st.integers(1, 40))
def test_every_text_is_told_once_with_all_that_lies_in_it(strings: list[bytes], size: int) -> None:
    whole = cut(strings, size)
    found: list[bytes] = []
    for text, rows in whole.by_text():
        assert text.endswith(END)
        for begin, end in zip(whole.begins[rows].tolist(), whole.ends[rows].tolist(), strict=True):
            assert text[end : end + 1] in (END, b"\n")
            found.append(text[begin:end])
    assert found == strings


@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=20))
def test_lines_are_what_is_between_the_breaks(strings: list[bytes]) -> None:
    assert list(Slices.lines(b"".join(string + b"\n" for string in strings) + END)) == strings


def test_texts_that_hold_nothing_any_more_are_let_go() -> None:
    whole = cut([b"abc", b"def", b"ghi"], 4)
    assert whole.texts == [b"abc\0", b"def\0", b"ghi\0"]
    assert list(whole[1:2].texts) == [b"def\0"]
    assert list(whole[3:].texts) == []
