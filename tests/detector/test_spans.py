"""Rows are numbered by what they say, whatever lies before and behind it in the text."""

from __future__ import annotations

import numpy as np
import pytest

from detector import spans


@pytest.mark.parametrize("letters", ["a", "ab", "abcdefgh"])
@pytest.mark.parametrize("longest", [0, 3, 9, 30])
def test_equal_tuples_have_equal_numbers_and_others_not(letters: str, longest: int) -> None:
    rng = np.random.default_rng(longest + len(letters))
    text = "".join(rng.choice(list(letters), 4000))
    begins = rng.integers(0, len(text) - longest, (300, 3))
    at = np.stack([begins, begins + rng.integers(0, longest + 1, (300, 3))], axis=2)
    at[100:200] = at[:100]
    codes, firsts = spans.number(np.frombuffer(text.encode(), dtype=np.uint8), at)
    said = [tuple(text[i:j] for i, j in row) for row in at.tolist()]
    order = list(dict.fromkeys(said))
    assert codes.tolist() == [order.index(row) for row in said]
    assert firsts.tolist() == [said.index(row) for row in order]


def test_where_one_field_ends_and_the_next_begins_counts() -> None:
    text = np.frombuffer(b"clientsession", dtype=np.uint8)
    codes, _ = spans.number(text, np.array([[[0, 6], [6, 13]], [[0, 7], [7, 13]], [[0, 6], [6, 13]]]))
    assert codes.tolist() == [0, 1, 0]
