"""Arrays that grow where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.growing import LARGE, PAGE, Growing

KIND = np.dtype([("wide", "<f8", (100,)), ("narrow", "<i4")])


def filled(rows: int) -> Growing:
    """As many rows, each with its number."""
    held = Growing(np.zeros(2, dtype=KIND))
    held.lengthen(rows)
    held.array["narrow"] = np.arange(rows)
    return held


@pytest.mark.parametrize("step", [10_000, 100_000])
def test_rows_stay_and_new_ones_are_zero_however_large_it_becomes(step: int) -> None:
    held = filled(100)
    for rows in range(step, 200_001, step):
        before = len(held.array)
        held.lengthen(rows)
        assert held.array.shape == (rows,)
        assert held.array.flags.writeable
        assert held.array.flags.aligned
        assert (held.array["narrow"][:before] == np.arange(before)).all()
        assert not held.array["narrow"][before:].any()
        assert not held.array["wide"][before:].any()
        held.array["narrow"] = np.arange(rows)
    assert held.array.nbytes > 2 * LARGE


def test_it_never_gets_shorter() -> None:
    held = filled(100)
    held.lengthen(50)
    assert len(held.array) == 100


def test_what_somebody_still_looks_at_stays_as_it_was() -> None:
    held = filled(60_000)
    assert held.array.nbytes > LARGE
    seen = held.array["narrow"]
    held.lengthen(120_000)
    held.array["narrow"] += 1
    assert (seen == np.arange(60_000)).all()
    assert (held.array["narrow"][:60_000] == np.arange(1, 60_001)).all()


def test_rows_of_several_axes_begin_with_none() -> None:
    held = Growing(np.zeros((0, 70, 2), dtype=np.float32))
    for rows in (3, 100_000):
        held.lengthen(rows)
        assert held.array.shape == (rows, 70, 2)
        assert held.array.flags.c_contiguous
        held.array[rows - 1] = 1.0
    assert held.array.sum() == 280.0


def test_rows_that_nothing_was_written_to_take_no_memory() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096

    held = filled(60_000)
    before = resident()
    held.lengthen(2_000_000)
    assert held.array.nbytes > 20 * LARGE
    assert resident() - before < 2 * PAGE
