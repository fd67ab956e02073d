"""Query logs in files and on standard input: lines in batches, in bounded memory, whatever they hold.

Lines that are too large, and streams that break off, become dead letters here; every other line is the
format's to judge.
"""

from __future__ import annotations

import glob
import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import cast

from connectors.lines import HEAD_BYTES, Line, Lines
from connectors.streams import ByteStream, DamagedStream
from detector.errors import InputError, SourceError
from detector.query import DeadLetter, RawBatch
from detector.slices import NONE, Slices

BATCH_BYTES = 8 * 1024 * 1024
MERGED = 4
"""Batches that all files of a merge together hold."""
KEEP_BYTES = 256 * 1024 * 1024
"""Longest line that a dead letter keeps whole; of longer ones it keeps the first `HEAD_BYTES`."""
PIECE_BYTES = 128 * 1024
"""The least that is split into lines at one go."""
STDIN = "-"


class LogFile:
    """One file, or standard input: its lines in order, numbered from 0 as their offsets.

    `path` names it, `source` is the same as text. `bytes_read` counts compressed bytes; `bytes_total` is
    None where the size is not known beforehand.
    """

    def __init__(
        self,
        path: str,
        *,
        batch_queries: int,
        record_bytes: int,
        latest: float,
        keep_bytes: int = KEEP_BYTES,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        # Names of files are bytes; those that are no text are told with escapes.
        self.source = "stdin" if path == STDIN else os.fsencode(path).decode(errors="backslashreplace")
        self.path = path
        self._batch_queries = batch_queries
        self._batch_bytes = batch_bytes
        self._record_bytes = record_bytes
        self._latest = latest
        self._keep_bytes = keep_bytes
        self._letters: list[DeadLetter] = []
        self._stream: ByteStream | None = None
        self.bytes_total = _check_readable(path)

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far."""
        return 0 if self._stream is None else self._stream.bytes_read

    def take_dead_letters(self) -> list[DeadLetter]:
        """Dead letters since the last call; call it after each batch and at the end."""
        letters, self._letters = self._letters, []
        return letters

    def batches(self) -> Iterator[RawBatch]:
        """Yield up to `batch_queries` lines, or about `batch_bytes`, at a time.

        A batch may be empty, when all there was are dead letters. Raises SourceError when reading fails.
        """
        most = self._batch_queries
        parts: list[Slices] = []
        offsets: list[int] = []
        size = 0
        for number, lines, held in self._lines():
            size += held
            parts.append(lines)
            offsets += range(number, number + len(lines))
            if len(offsets) < most and size < self._batch_bytes:
                continue
            parts = [Slices.joined(parts)]
            end = len(offsets) // most * most
            size = int(parts[0].sizes[end:].sum())
            if not end or size >= self._batch_bytes:
                end, size = len(offsets), 0
            for begin in range(0, max(1, end), most):
                some = slice(begin, min(begin + most, end))
                yield RawBatch(self.source, 0, parts[0][some], offsets[some], self._latest)
            parts, offsets = [parts[0][end:]], offsets[end:]
        if offsets or self._letters:
            yield RawBatch(self.source, 0, Slices.joined(parts), offsets, self._latest)

    def _lines(self) -> Iterator[tuple[int, Slices, int]]:
        """Lines in a row, the number of the first, and the bytes held of them.

        What becomes a dead letter comes as no line, with the bytes that it holds.
        """
        number = 0
        lines = Lines(self._record_bytes, self._keep_bytes)
        try:
            for some in lines.split(self._pieces()):
                if isinstance(some, Line):
                    yield number, NONE, self._refuse(number, some)
                    number += 1
                else:
                    yield number, some, int(some.sizes.sum())
                    number += len(some)
        except DamagedStream as error:
            detail = f"at compressed byte {self.bytes_read}: {error}; {number} whole lines came before"
            head = lines.rest.content()[:HEAD_BYTES]
            self._letters.append(DeadLetter("truncated", detail, head, self.source, 0, number))
        except OSError as error:
            raise SourceError(f"cannot read {self.source}: {error.strerror or error}") from error

    def _pieces(self) -> Iterator[bytes]:
        with self._open() as file:
            self._stream = ByteStream(file)
            yield from _larger(self._stream.pieces())

    def _open(self) -> AbstractContextManager[io.BufferedIOBase]:
        if self.path == STDIN:
            return nullcontext(cast(io.BufferedIOBase, sys.stdin.buffer))
        return Path(self.path).open("rb")

    def _refuse(self, number: int, line: Line) -> int:
        """Make a line that is too large a dead letter; returns the bytes that are held of it."""
        content = line.content()
        detail = f"{line.length} bytes, limits.record_bytes is {self._record_bytes}"
        if not line.whole:
            detail += f"; the first {len(content)} bytes are kept, sha256 of the whole {line.sha256()}"
        self._letters.append(DeadLetter("too_large", detail, content, self.source, 0, number))
        return len(content)


def _larger(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth looking at one by one, also where the stream is damaged."""
    held: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                yield b"".join(held)
                held, size = [], 0
    except DamagedStream:
        yield b"".join(held)
        raise
    yield b"".join(held)


class FileSource:
    """Log files, in the order given, globs sorted by name: plain, gzip or zstd, or `-` for standard input.

    `latest` [seconds since the epoch] is the newest time that a record may carry.
    Raises InputError before anything is read when a path cannot be.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        batch_queries: int,
        record_bytes: int,
        latest: float,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        names = expand(paths)
        # Files that are merged all hold a batch at the same time; of two days only one is read from.
        share = MERGED * batch_queries // len(names)
        self.files = [
            LogFile(
                path,
                batch_queries=min(max(64, share), batch_queries),
                batch_bytes=min(max(PIECE_BYTES, MERGED * BATCH_BYTES // len(names)), BATCH_BYTES),
                record_bytes=record_bytes,
                latest=latest,
                keep_bytes=keep_bytes,
            )
            for path in names
        ]

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far, over all files."""
        return sum(file.bytes_read for file in self.files)

    @property
    def bytes_total(self) -> int | None:
        """Compressed bytes of all files; None when one's size is not known beforehand."""
        total = 0
        for file in self.files:
            if file.bytes_total is None:
                return None
            total += file.bytes_total
        return total

    def batches(self) -> Iterator[RawBatch]:
        """Yield undecoded lines, one file after the other. Raises SourceError when reading fails."""
        for file in self.files:
            yield from file.batches()

    def take_dead_letters(self) -> list[DeadLetter]:
        """Dead letters since the last call, file by file; call it after each batch and at the end."""
        return [letter for file in self.files for letter in file.take_dead_letters()]


def expand(paths: Sequence[str | Path]) -> list[str]:
    """Paths and globs as file names: in the order given, each glob's sorted, each file once.

    Raises InputError for a glob without a match and when nothing is given.
    """
    found: dict[str, str] = {}
    for given in map(str, paths):
        if given == STDIN:
            found.setdefault(STDIN, STDIN)
            continue
        if "\0" in given:
            raise InputError(f"{given!r}: cannot be read (a path holds no zero byte)")
        names = [given]
        if not Path(given).exists() and glob.has_magic(given):
            matches = glob.glob(given, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
            names = sorted(name for name in matches if not Path(name).is_dir())
            if not names:
                raise InputError(f"{given}: no file matches this pattern")
        for name in names:
            found.setdefault(os.path.realpath(name), name)
    if not found:
        raise InputError("no log file is given; name files, patterns, or - for standard input")
    return list(found.values())


def _check_readable(path: str) -> int | None:
    """The size of a file that can be read; None for a pipe and standard input. Raises InputError."""
    if path == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed; name a log file, or give one on standard input")
        return None
    try:
        status = Path(path).stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a directory; name its files, such as {path.rstrip('/')}/*.ndjson")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read (permission denied)")
    return status.st_size if stat.S_ISREG(status.st_mode) else None
