"""Alerts and dead letters as newline-delimited JSON in files, or on standard output; dead letters back."""

from __future__ import annotations

import base64
import binascii
import errno
import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from connectors.base import MOST_AT_ONCE, Delivery
from detector.alert import Alert
from detector.errors import InputError, SinkError, SinkNotReady, SinkUnavailable
from detector.query import DeadLetter

STDOUT = "-"
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ENFILE, errno.EMFILE}


def _failure(name: str, path: str, error: OSError) -> SinkError:
    """A full or failing disk may recover; a path that cannot be written needs a person."""
    place = "to standard output" if path == STDOUT else path
    problem = f"cannot write {place}: {error.strerror or error}"
    return SinkUnavailable(name, problem) if error.errno in _PASSING else SinkNotReady(name, problem)


class _LineFile:
    """A file of lines that are durable once `append` returns; a failed append leaves nothing behind."""

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def open(self) -> None:
        """Start the file anew. Raises SinkNotReady or SinkUnavailable."""
        try:
            if self._path == STDOUT:
                if sys.stdout is None:
                    raise SinkNotReady(self._name, "standard output is closed")
                sys.stdout.flush()
                self._descriptor = os.dup(sys.stdout.fileno())
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise _failure(self._name, self._path, error) from error

    def remove(self) -> None:
        """Remove a regular file that is there. Raises SinkNotReady or SinkUnavailable."""
        try:
            if Path(self._path).is_file():
                Path(self._path).unlink(missing_ok=True)
        except OSError as error:
            raise _failure(self._name, self._path, error) from error

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines, each without its newline. Raises SinkUnavailable or SinkNotReady."""
        if self._descriptor is None:
            raise SinkNotReady(self._name, f"{self._path} is not open")
        data = memoryview(b"".join(line + b"\n" for line in lines))
        regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        start = os.lseek(self._descriptor, 0, os.SEEK_CUR) if regular else 0
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if regular:
                os.fsync(self._descriptor)
        except OSError as error:
            if regular:
                os.ftruncate(self._descriptor, start)
                os.lseek(self._descriptor, start, os.SEEK_SET)
            raise _failure(self._name, self._path, error) from error

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class NdjsonAlertSink:
    """Alerts as one JSON document a line; `-` is standard output. `open` starts the file anew."""

    most_at_once = MOST_AT_ONCE

    def __init__(self, path: str) -> None:
        self.name = f"file {path}"
        self._file = _LineFile(self.name, path)
        self._ids: set[str] = set()

    def open(self) -> None:
        """Create or empty the file. Raises SinkNotReady or SinkUnavailable."""
        self._file.open()
        self._ids.clear()

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        """Append the alerts that this file does not hold yet, durably. Raises as `open`."""
        fresh = {alert.id: alert for alert in alerts if alert.id not in self._ids}
        if fresh:
            self._file.append([_visible(alert.to_json()) for alert in fresh.values()])
            self._ids.update(fresh)
        return Delivery(created=len(fresh), duplicates=len(alerts) - len(fresh))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class NdjsonDeadLetterSink:
    """Dead letters as one JSON object a line; the file is made when there is one to write.

    `raw` holds the record when it is UTF-8 text, `raw_b64` otherwise. A letter written twice stands twice.
    """

    def __init__(self, path: str) -> None:
        self.name = f"file {path}"
        self._file = _LineFile(self.name, path)

    def open(self) -> None:
        """Remove the file of an earlier run: a log without bad records leaves no file. Raises as writing."""
        self._file.remove()

    def write_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Append the letters, durably. Raises SinkNotReady or SinkUnavailable."""
        if not letters:
            return
        if not self._file.is_open:
            self._file.open()
        self._file.append([_visible(_letter_json(letter)) for letter in letters])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _LetterLine(msgspec.Struct):
    reason: str
    detail: str
    source: str
    partition: int
    offset: int
    raw: str | None = None
    raw_b64: str | None = None


def read_letter_file(path: str | Path) -> Iterator[DeadLetter]:
    """The dead letters of a file that `NdjsonDeadLetterSink` wrote. Raises InputError."""
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    found = msgspec.json.decode(line, type=_LetterLine)
                    yield DeadLetter(
                        found.reason,
                        found.detail,
                        found.raw.encode() if found.raw is not None else _decoded(found.raw_b64),
                        found.source,
                        found.partition,
                        found.offset,
                    )
                except ValueError as error:  # those of msgspec and base64 are
                    raise InputError(f"{path}, line {number}: is no dead letter ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _decoded(text: str | None) -> bytes:
    if text is None:
        raise ValueError("it has neither `raw` nor `raw_b64`")
    return binascii.a2b_base64(text, strict_mode=True)


def _letter_json(letter: DeadLetter) -> bytes:
    document: dict[str, str | int] = {
        "reason": letter.reason,
        "detail": letter.detail,
        "source": letter.source,
        "partition": letter.partition,
        "offset": letter.offset,
    }
    try:
        document["raw"] = letter.raw.decode("utf-8")
    except UnicodeDecodeError:
        document["raw_b64"] = base64.b64encode(letter.raw).decode("ascii")
    return msgspec.json.encode(document)


def _visible(line: bytes) -> bytes:
    """The same JSON with what a terminal would obey or hide written as escapes: ids come from strangers.

    JSON itself asks for that only up to U+001F; C1 controls and direction marks remain.
    """
    text = line.decode("utf-8")
    if text.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text).encode()
