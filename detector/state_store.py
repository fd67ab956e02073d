"""Saved states: one file a topic partition, written whole or not at all, the one before it kept.

A file is a header, one line of JSON, and the state's bytes. The header says of what the state is, which
offset comes next, which versions wrote it, and the SHA-256 of both: a file that does not hold what it says is
set aside, never used. It also names the *pieces* of a large state (`.rows-*`), with their SHA-256: files that
never change, and go when no state names them any more. A file that another version of querywatch left is
kept beside the new ones (`.state.version-V`), so that the release that wrote it finds it again when it is
brought back.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from detector import __version__
from detector.errors import InfrastructureError, OtherVersion, StateError
from detector.state_header import FORMAT, UNKNOWN, Header, Piece, Pieces, header_of, line_of

LOCK_SECONDS = 5.0
"""How long a save waits for another member that saves to the same directory."""

log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class Found(Generic[T]):
    """What was found of a partition.

    `state` is None without a usable file; it was made with `pieces`. `position` is the furthest next offset
    that any file tells, usable or not: what lies below it was delivered. `problems` says what is wrong with
    those that are not usable.
    `recreated` is true when they belong to an earlier topic of the same name.
    """

    state: T | None = None
    position: int = UNKNOWN
    problems: list[str] = field(default_factory=list)
    recreated: bool = False
    pieces: Pieces = ()


class StateStore:
    """States of one topic's partitions in `directory` (0700, files 0600).

    `body` is the version of the states themselves.
    """

    def __init__(self, directory: Path, topic: str, body: str) -> None:
        self.directory = directory
        self.topic_id = ""
        """The broker's id of the topic, to be set before `load` and `save`; empty where it has none. States
        of another topic that had the same name are not used."""
        self._topic = topic
        self._body = body
        self._version = f"{FORMAT}.{body}"
        self._refused: dict[Path, str] = {}

    def open(self) -> None:
        """Make the directory, and see that it can be written. Raises InfrastructureError."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.directory / f".probe-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def path(self, partition: int, kind: str = "") -> Path:
        """The newest state of a partition; `kind` names another file of it, such as `previous`."""
        suffix = f".{kind}" if kind else ""
        return self.directory / f"{self._topic}-{partition}.state{suffix}"

    def previous(self, partition: int) -> Path:
        """The state before that."""
        return self.path(partition, "previous")

    def piece(self, partition: int, next_offset: int, rows: bytes) -> Piece:
        """What a piece with these bytes is called."""
        sha256 = hashlib.sha256(rows).hexdigest()
        return Piece(f"{self._topic}-{partition}.rows-{next_offset}-{sha256[:16]}", sha256, len(rows))

    def require(self, pieces: Pieces) -> None:
        """Raises StateError when one of these is gone."""
        for piece in pieces:
            if not (self.directory / piece.name).exists():
                raise StateError(f"{piece.name}: is gone")

    def read(self, piece: Piece) -> bytes:
        """A piece's bytes. Raises StateError when they are gone or not what they were."""
        try:
            rows = (self.directory / piece.name).read_bytes()
        except OSError as error:
            raise StateError(f"{piece.name}: cannot be read ({error.strerror})") from error
        if hashlib.sha256(rows).hexdigest() != piece.sha256:
            raise StateError(f"{piece.name}: the checksum does not match: it is truncated or was changed")
        return rows

    def save(
        self, partition: int, state: bytes, next_offset: int, pieces: Pieces = (), rows: bytes = b""
    ) -> bool:
        """Replace a partition's state, durably; False when another member has saved a later one.

        `rows` is the content of the last of the `pieces`, where there are any; the others are there already.
        Raises InfrastructureError; the old state then stands.
        """
        header = self._header(partition, state, next_offset, pieces)
        path, partial = self.path(partition), self.path(partition, "partial")
        try:
            with self._locked() as folder:
                self._set_aside(partition)
                stands = _standing(path)
                if stands is not None and _later(stands, header):
                    log.info("another member has saved a later state", partition=partition)
                    return False
                if pieces:
                    write_durably(partial, rows)
                    partial.replace(self.directory / pieces[-1].name)
                write_durably(partial, line_of(header) + state)
                if stands is not None:
                    self._keep(path, stands)
                    path.replace(self.previous(partition))
                partial.replace(path)
                os.fsync(folder)
                self._drop_pieces(partition)
        except OSError as error:
            # What was written of it takes the room that the next try needs.
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise self._unwritable(error) from error
        return True

    def load(self, partition: int, restore: Callable[[bytes, Iterator[bytes]], T]) -> Found[T]:
        """The newest state that `restore` takes (it raises StateError for others), and what else there is.

        `restore` gets the state and an iterator over its pieces.

        Changes nothing. The next save sets files aside that are not usable, so that they are not lost.
        """
        found: Found[T] = Found()
        kept = self.path(partition, f"version-{self._version}")
        for path in (self.path(partition), self.previous(partition), kept):
            try:
                header, state = _read(path)
                if not self._is_of(header, partition):
                    found.recreated = True
                    problem = f"belongs to a topic with id {header.topic_id}: it was recreated"
                    self._refuse(found, path, "recreated", problem)
                    continue
                found.position = max(found.position, header.next_offset)
                found.state = restore(header.verified(state), map(self.read, header.pieces))
                found.pieces = header.pieces
                break
            except FileNotFoundError:
                continue
            except OtherVersion as error:
                self._refuse(found, path, f"version-{error.version or header.version}", str(error))
            except (OSError, StateError) as error:
                self._refuse(found, path, "damaged", str(error))
        return found

    def _drop_pieces(self, partition: int) -> None:
        """Remove the pieces that no file of the partition names."""
        named: set[str] = set()
        for path in self.directory.glob(f"{self._topic}-{partition}.state*"):
            with suppress(StateError, OSError), path.open("rb") as file:
                named |= {piece.name for piece in header_of(file.readline()).pieces}
        for path in self.directory.glob(f"{self._topic}-{partition}.rows-*"):
            if path.name not in named:
                path.unlink(missing_ok=True)

    def _header(self, partition: int, state: bytes, next_offset: int, pieces: Pieces) -> Header:
        return Header(
            format=FORMAT,
            body=self._body,
            release=__version__,
            topic=self._topic,
            topic_id=self.topic_id,
            partition=partition,
            next_offset=next_offset,
            sha256=hashlib.sha256(state).hexdigest(),
            pieces=pieces,
        )

    def _is_of(self, header: Header, partition: int) -> bool:
        return (header.topic, header.topic_id, header.partition) == (self._topic, self.topic_id, partition)

    def _keep(self, path: Path, stands: Header) -> None:
        """Leave what another version wrote to that version."""
        if stands.version != self._version:
            kept = path.with_name(f"{path.name}.version-{stands.version}")
            kept.unlink(missing_ok=True)
            kept.hardlink_to(path)

    def _refuse(self, found: Found[T], path: Path, kind: str, problem: str) -> None:
        log.warning("saved state is not usable", file=str(path), problem=problem)
        found.problems.append(f"{path.name}: {problem}")
        self._refused[path] = kind

    def _set_aside(self, partition: int) -> None:
        for path in (self.path(partition), self.previous(partition)):
            kind = self._refused.pop(path, "")
            aside = self.path(partition, kind)
            if kind and path.exists() and (path == self.path(partition) or not aside.exists()):
                path.replace(aside)
                log.info("an unusable state is kept", file=str(aside))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The directory, while no other member on this machine changes it. Raises OSError."""
        folder = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
            yield folder
        finally:
            os.close(folder)

    def _unwritable(self, error: OSError) -> InfrastructureError:
        return InfrastructureError(
            f"state directory {self.directory}: cannot be written ({error.strerror or error}); "
            f"free space, mend its rights, or name another in state.directory"
        )


def write_durably(path: Path, content: bytes) -> None:
    """Write a file (0600) whole, on the disk before it returns. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> tuple[Header, bytes]:
    line, _, state = path.read_bytes().partition(b"\n")
    return header_of(line), state


def _standing(path: Path) -> Header | None:
    """The header of the file that is to be replaced; None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            return header_of(file.readline())
    except (FileNotFoundError, StateError):
        return None


def _later(stands: Header, new: Header) -> bool:
    same = (stands.topic, stands.topic_id, stands.partition) == (new.topic, new.topic_id, new.partition)
    return same and stands.next_offset > new.next_offset
