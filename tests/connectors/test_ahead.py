"""Made ahead or not, the items are the same, and nothing is left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ahead import DEPTH, ahead


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@given(st.lists(st.integers()), st.integers(1, 4), st.integers(0, 12))
def test_items_keep_their_order_and_the_thread_ends(items: list[int], depth: int, taken: int) -> None:
    made = ahead(iter(items), depth)
    assert [item for item, _ in zip(made, range(taken), strict=False)] == items[:taken]
    assert list(made) == items[taken + 1 :]
    assert "read ahead" not in threads()


def test_what_goes_wrong_comes_in_its_place() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    found = []
    with pytest.raises(OSError, match="the disk is gone"):
        for item in ahead(failing()):
            found.append(item)
    assert found == [1, 2]
    assert "read ahead" not in threads()


def test_it_runs_ahead_by_no_more_than_was_said() -> None:
    begun: list[int] = []
    closed: list[bool] = []
    enough = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            for number in range(100):
                begun.append(number)
                if number == DEPTH + 1:
                    enough.set()
                yield number
        finally:
            closed.append(True)

    made = ahead(numbers())
    assert next(made) == 0
    assert enough.wait(10)
    made.close()
    assert len(begun) <= DEPTH + 3
    assert closed == [True]
    assert "read ahead" not in threads()
