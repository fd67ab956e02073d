"""Undecoded records, many at a time, as places in the few texts that they came in: a record's own bytes are
made when somebody asks for them, which few ever are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np

from detector.query import IntArray

TEXT_BYTES = 2**19
"""Records that come one by one are put together to texts of about this size, so that its cache holds one."""
END = b"\0"
"""Ends a text, and each of the records that were put together."""


class Slices(Sequence[bytes]):
    """n byte strings: text number which [n], from begins [n] to ends [n].

    Behind each in its text lies a byte that no JSON text goes on over, which is a line break or a zero byte,
    and each text ends with a zero byte. Rows are in the order of the texts.
    """

    __slots__ = ("begins", "ends", "texts", "which")

    def __init__(self, texts: Sequence[bytes], which: IntArray, begins: IntArray, ends: IntArray) -> None:
        self.texts, self.which, self.begins, self.ends = texts, which, begins, ends

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Slices:
        """The same values, put together."""
        if isinstance(values, Slices):
            return values
        sizes = np.fromiter(map(len, values), dtype=np.int64, count=len(values)) + 1
        at = np.cumsum(sizes) - sizes
        firsts = np.flatnonzero(np.diff(at // TEXT_BYTES, prepend=-1))
        bounds = [*firsts.tolist(), len(values)]
        which = np.repeat(np.arange(len(firsts)), np.diff(bounds))
        begins = at - at[firsts][which]
        texts = [END.join(values[i:j]) + END for i, j in pairwise(bounds)]
        return cls(texts, which, begins, begins + sizes - 1)

    @classmethod
    def lines(cls, text: bytes) -> Slices:
        """The lines of a text of whole lines, behind which a zero byte was put."""
        from models.words import find_byte  # here, so that `--help` does not load the compiler

        letters, line_break = np.frombuffer(text, dtype=np.uint8), np.uint8(ord("\n"))
        ends = np.empty(find_byte(letters, line_break, _NO_ROWS), dtype=np.int64)
        find_byte(letters, line_break, ends)
        begins = np.append(0, ends + 1)[: len(ends)]
        return cls([text], np.zeros_like(ends), begins, ends)

    @classmethod
    def joined(cls, parts: Sequence[Slices]) -> Slices:
        """All of the parts, in this order."""
        if len(parts) == 1:
            return parts[0]
        before = np.cumsum([0, *(len(part.texts) for part in parts)])
        return cls(
            [text for part in parts for text in part.texts],
            np.concatenate([NONE.which, *(part.which + n for part, n in zip(parts, before, strict=False))]),
            np.concatenate([NONE.begins, *(part.begins for part in parts)]),
            np.concatenate([NONE.ends, *(part.ends for part in parts)]),
        )

    @property
    def sizes(self) -> IntArray:
        """Bytes of each: [n]."""
        return self.ends - self.begins

    def by_text(self) -> Iterable[tuple[bytes, slice]]:
        """Each text that holds some of these, and the rows that lie in it."""
        firsts = np.flatnonzero(np.diff(self.which, prepend=-1)).tolist()
        for first, last in pairwise([*firsts, len(self)]):
            yield self.texts[self.which[first]], slice(first, last)

    def take(self, rows: IntArray | slice) -> Slices:
        """Those of these rows, in ascending order. Texts that hold none of them are let go."""
        which = self.which[rows]
        if not len(which):
            return NONE
        first, last = int(which[0]), int(which[-1]) + 1
        return Slices(self.texts[first:last], which - first, self.begins[rows], self.ends[rows])

    def __len__(self) -> int:
        return len(self.which)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Slices: ...

    def __getitem__(self, index: int | slice) -> bytes | Slices:
        if isinstance(index, slice):
            return self.take(index)
        text: bytes = self.texts[self.which[index]]
        return text[self.begins[index] : self.ends[index]]

    def __iter__(self) -> Iterator[bytes]:
        texts = self.texts
        for text, begin, end in zip(
            self.which.tolist(), self.begins.tolist(), self.ends.tolist(), strict=True
        ):
            yield texts[text][begin:end]


_NO_ROWS = np.zeros(0, dtype=np.int64)
NONE = Slices((), _NO_ROWS, _NO_ROWS, _NO_ROWS)
