"""What kernels ask memory for ahead of time."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from models.ahead import ask_for
from models.compiled import lean


@lean
def _sum(rows: Any, which: Any, ahead: int) -> float:
    """The sum of rows [n, k] in the order of which [m]; those `ahead` of each are asked for, wherever they
    would be."""
    total = 0.0
    for i in range(which.shape[0]):
        ask_for(rows, which[i] + ahead, 0, rows.strides[0])
        for j in range(rows.shape[1]):
            total += rows[which[i], j]
    return total


def test_asking_changes_nothing_even_where_no_memory_is() -> None:
    whole = np.zeros(50, dtype=[("before", "<i4"), ("field", "<f8", (100,))])
    whole["field"] = np.arange(5000).reshape(50, 100)
    before = whole.copy()
    which = np.arange(50)[::-1].copy()
    for ahead in (0, 2, -1000, 1 << 40):
        assert _sum(whole["field"], which, ahead) == np.arange(5000).sum()
    assert (whole == before).all()


def test_the_processor_is_asked() -> None:
    found: Any = _sum
    compiled = numba.njit(found.py_func)  # machine code that comes from the cache cannot be read
    compiled(np.zeros((1, 1)), np.zeros(1, dtype=np.int64), 0)
    assert any("prefetch" in text or "prfm" in text for text in compiled.inspect_asm().values())
