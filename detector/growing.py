"""Arrays that are given more rows where they lie: gigabytes are not copied, and never there twice.

Large ones lie in large pages, where the system has them. A processor knows by heart where some two thousand
pages are, and the rows of a million sessions are half a million pages of 4 KiB: without large ones, each look
at a row would be preceded by another that finds its page.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

PAGE = 2**21
"""Bytes of a large page."""
LARGE = 4 * PAGE
"""Arrays of more bytes lie in large pages. The last one is in memory as a whole, whatever is in use of it."""


class Growing:
    """`array` [n, ...], to which rows that are all 0 can be added."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array
        self._pages: mmap.mmap | None = None

    def lengthen(self, rows: int) -> None:
        """Have at least so many rows. No view of the array may be in use: it may go on showing what was."""
        if rows <= len(self.array):
            return
        kind, shape, held = self.array.dtype, (rows, *self.array.shape[1:]), self.array.size
        count = int(np.prod(shape, dtype=np.int64))
        size = -(-count * kind.itemsize // PAGE) * PAGE
        if size <= LARGE:
            self.array.resize(shape, refcheck=False)
            return
        if self._pages is not None:
            self.array = np.empty(0, dtype=kind)
            try:
                self._pages.resize(size)
            except BufferError:  # of a view that is still there
                self.array, self._pages = np.frombuffer(self._pages, kind, held), None
        if self._pages is None:
            self._pages = _large_pages(size)
            np.frombuffer(self._pages, kind, held)[:] = self.array.reshape(-1)
        self.array = np.frombuffer(self._pages, kind, count).reshape(shape)


def _large_pages(size: int) -> mmap.mmap:
    """So many bytes, all 0, which take memory from when they are written to."""
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a system that has no large ones
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
