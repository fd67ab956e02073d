"""Pieces of a stream of bytes to its lines, in bounded memory: those that are too large by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from detector.slices import END, Slices

HEAD_BYTES = 1024 * 1024
"""What is kept of a line that is too large to be kept whole."""
LINE_BREAK = b"\n"


class Line:
    """A line as its pieces arrive, holding no more than `keep` bytes of it."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._parts: list[bytes] = []
        self._hash = hashlib.sha256()
        self.length = 0

    @property
    def whole(self) -> bool:
        """Whether all of it is held."""
        return self.length <= self._keep

    def extend(self, part: bytes) -> None:
        """More of it."""
        was_whole = self.whole
        self.length += len(part)
        if self.whole:
            self._parts.append(part)
            return
        if was_whole:
            held = b"".join(self._parts)
            self._hash.update(held)
            self._parts = [(held + part[:HEAD_BYTES])[:HEAD_BYTES]]
        self._hash.update(part)

    def content(self) -> bytes:
        """The line, or its first `HEAD_BYTES`."""
        return b"".join(self._parts)

    def sha256(self) -> str:
        """Of a line that is not held whole, in hexadecimal."""
        return self._hash.hexdigest()


class Lines:
    """The lines of one stream, without their breaks: those of at most `limit` bytes many at a time, each
    larger one as a `Line` that holds no more than `keep` bytes. `rest` is what came since the last break."""

    def __init__(self, limit: int, keep: int) -> None:
        self._limit = limit
        self._keep = keep
        self.rest = Line(keep)

    def split(self, pieces: Iterator[bytes]) -> Iterator[Slices | Line]:
        """All lines in order; raises what `pieces` raises."""
        for piece in pieces:
            first, last = piece.find(LINE_BREAK), piece.rfind(LINE_BREAK)
            if first < 0:
                self.rest.extend(piece)
                continue
            begin, head = 0, b""
            if self.rest.length + first <= self._limit:
                head = self.rest.content()
            else:
                self.rest.extend(piece[:first])
                yield self.rest
                begin = first + 1
            yield from self._runs(Slices.lines(b"".join([head, memoryview(piece)[begin : last + 1], END])))
            self.rest = Line(self._keep)
            self.rest.extend(piece[last + 1 :])
        if self.rest.length > self._limit:
            yield self.rest
        elif self.rest.length:
            yield Slices.of([self.rest.content()])

    def _runs(self, lines: Slices) -> Iterator[Slices | Line]:
        done = 0
        for row in np.flatnonzero(lines.sizes > self._limit).tolist():
            if row > done:
                yield lines[done:row]
            large = Line(self._keep)
            large.extend(lines[row])
            yield large
            done = row + 1
        if done < len(lines):
            yield lines[done:]
