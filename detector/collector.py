"""Python's collector of garbage and the system's memory, told what this program is like."""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from typing import Any

KEPT_BYTES = 16 * 1024 * 1024
"""More than the largest array of a batch."""


def calm_collector() -> None:
    """Let it look less often, and keep the memory of one batch for the next.

    Records come by the thousand and hold no cycles: with Python's default it looks through all of them
    again and again, which costs more than decoding them. And what a batch frees glibc gives back to the
    system, whose new pages take a fifth of the time of decoding the next one; unless a block as large was
    freed before, from which it learns (mallopt(3), M_MMAP_THRESHOLD). This one is never written to.
    """
    gc.set_threshold(50_000, 20, 100)
    bytes(KEPT_BYTES)


def give_back_holes() -> None:
    """Give memory that is free in the middle of the heap back to the system, where its library can.

    Columns of a million sessions that grow leave holes where they were. Whoever calls this each time that
    much has grown pays milliseconds for it, and the new pages of one batch.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """glibc's malloc_trim, or None where there is another library."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
