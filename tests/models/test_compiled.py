"""What kernels are built with."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compiled import lean, part


@lean
def _write(rows: Any, s: int) -> float:
    """Doubles rows [n, 2, 3] at s, row by row; the sum of what was there."""
    total = 0.0
    for which in range(2):
        row = part(part(rows, s), which)
        for j in range(row.shape[0]):
            total += row[j]
            row[j] *= 2
    return total


def test_a_part_is_the_row_itself_whatever_lies_between_the_rows() -> None:
    whole = np.zeros(4, dtype=[("before", "<i4", (5,)), ("field", "<f4", (2, 3)), ("behind", "<i2", (3,))])
    whole["field"] = np.arange(24).reshape(4, 2, 3)
    expected = whole.copy()
    expected["field"][2] *= 2
    assert _write(whole["field"], 2) == np.arange(12, 18).sum()
    assert (whole == expected).all()
