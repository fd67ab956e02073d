"""Numbers for keys, entered and released as in a dict, and saved."""

from __future__ import annotations

import numpy as np
import pytest

from detector.register import Register
from tests.detector.test_directory import keys

BOUND = 300


@pytest.mark.parametrize("seed", range(3))
def test_keys_come_and_go_as_in_a_dict(seed: int) -> None:
    rng = np.random.default_rng(seed)
    register, expected = Register(BOUND), dict[int, int]()
    every = keys(1000, seed)
    for turn in range(60):
        rows = rng.integers(0, 1000, 60)
        known = [expected.get(row) for row in rows.tolist()]
        found, begun = register.enter(every[rows])
        for number, before in zip(found.tolist(), known, strict=True):
            assert before in (None, number)
            assert number >= 0 or register.exhausted
        assert not set(found[begun].tolist()) & set(expected.values()), "a number of two keys"
        expected |= {int(row): int(n) for row, n in zip(rows, found, strict=True) if n >= 0}
        gone = rng.permutation(sorted(expected))[: int(rng.integers(60))].tolist()
        register.release(np.array([expected.pop(row) for row in gone], dtype=np.int64))
        assert len(register) == len(expected) == register.taken.sum()
        assert register.used <= register.capacity <= BOUND
        if turn % 20 == 19:
            register = Register.from_state(register.state(), BOUND)


def test_a_bound_never_falls_below_what_was_given() -> None:
    register = Register(BOUND)
    register.enter(keys(100, 0))
    register.rebound(10)
    assert register.bound == 100
    assert register.exhausted
    assert Register.from_state(register.state(), 10).bound == 100
