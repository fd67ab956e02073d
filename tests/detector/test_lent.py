"""Slots are lent to one owner each, and never more of them than the bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.lent import LEAST, LentSlots, lend

OWNERS = 40


def lend_to(slots: LentSlots, owner: int, query: int) -> bool:
    """As kernels do it; False: none is free."""
    if not lend(slots.slot_of, slots.free, slots.unused, owner):
        return False
    slots.seen[slots.slot_of[owner]] = query
    return True


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The kernel is there before the first example is timed."""
    slots = LentSlots(LEAST)
    slots.know(1)
    assert lend_to(slots, owner=0, query=0)


def check(slots: LentSlots) -> None:
    """Every slot is free or has one owner."""
    lent = slots.slot_of[slots.slot_of >= 0].tolist()
    free = slots.free[: slots.unused[0]].tolist()
    assert sorted([*lent, *free]) == list(range(slots.capacity))
    assert slots.capacity <= slots.bound


@given(
    bound=st.integers(0, 24),
    wishes=st.lists(st.tuples(st.booleans(), st.integers(0, OWNERS - 1)), max_size=200),
    suspicious=st.sets(st.integers(0, 23)),
)
def test_slots_have_one_owner(bound: int, wishes: list[tuple[bool, int]], suspicious: set[int]) -> None:
    slots = LentSlots(bound)
    slots.know(OWNERS)
    for query, (take, owner) in enumerate(wishes):
        if not take:
            had = slots.slot_of[[owner]]
            assert slots.take_back(np.array([owner])).tolist() == had[had >= 0].tolist()
        elif not lend_to(slots, owner, query):
            suspicion = np.array([float(s in suspicious) for s in range(slots.capacity)])
            before = slots.slot_of.copy()
            gone = slots.make_room(suspicion)
            assert slots.slot_of[np.isin(before, gone)].tolist() == [-1] * len(gone)
            assert lend_to(slots, owner, query)
        check(slots)
    copy = LentSlots(bound)
    copy.know(OWNERS)
    copy.slot_of[:] = slots.slot_of
    copy.load(slots.state())
    check(copy)
    assert (copy.capacity, copy.seen.tolist()) == (slots.capacity, slots.seen.tolist())


def test_suspicious_owners_go_last_and_the_least_recently_used_first() -> None:
    slots = LentSlots(LEAST)
    slots.know(LEAST + 1)
    for owner in range(LEAST):
        assert lend_to(slots, owner, query=owner)
    assert not lend_to(slots, LEAST, LEAST)
    suspicion = np.zeros(LEAST)
    suspicion[slots.slot_of[0]] = 1.0
    slots.make_room(suspicion)
    assert slots.slot_of[:3].tolist()[0] >= 0
    assert slots.slot_of[1] == -1
    assert (slots.freed, slots.freed_suspicious) == (1, 0)
