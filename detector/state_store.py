"""Saved states: one file a topic partition, written whole or not at all, the one before it kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from detector.errors import InfrastructureError, StateError

FORMAT = 1
log = structlog.get_logger(__name__)
T = TypeVar("T")


class StateStore:
    """States of one topic's partitions in `directory` (0700, files 0600).

    `topic_id` is the broker's id of the topic, empty where it has none: the states of a topic that was
    recreated under the same name are not used.
    """

    def __init__(self, directory: Path, topic: str, topic_id: str) -> None:
        self.directory = directory
        self._topic = topic
        self._topic_id = topic_id

    def open(self) -> None:
        """Make the directory, and see that it can be written. Raises InfrastructureError."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.directory / f".probe-{os.getpid()}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def path(self, partition: int) -> Path:
        """The newest state of a partition."""
        return self.directory / f"{self._topic}-{partition}.state"

    def previous(self, partition: int) -> Path:
        """The state before that."""
        return self.directory / f"{self._topic}-{partition}.state.previous"

    def save(self, partition: int, state: bytes) -> None:
        """Replace a partition's state, durably. Raises InfrastructureError; the old state then stands."""
        header = {
            "format": FORMAT,
            "topic": self._topic,
            "topic_id": self._topic_id,
            "partition": partition,
        }
        path = self.path(partition)
        partial = path.with_name(path.name + ".partial")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(header, sort_keys=True).encode() + b"\n" + state)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                path.replace(self.previous(partition))
            partial.replace(path)
            folder = os.open(self.directory, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def load(self, partition: int, restore: Callable[[bytes], T]) -> T | None:
        """The newest state that `restore` takes (it raises StateError for others); None without one."""
        for path in (self.path(partition), self.previous(partition)):
            try:
                return restore(self._content(path, partition))
            except FileNotFoundError:
                continue
            except (OSError, StateError) as error:
                log.warning("saved state is not usable", file=str(path), problem=str(error))
        return None

    def _content(self, path: Path, partition: int) -> bytes:
        head, _, state = path.read_bytes().partition(b"\n")
        try:
            header = json.loads(head)
            known = (header["format"], header["topic"], header["topic_id"], header["partition"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateError("not a saved state of querywatch, or damaged") from error
        if known[0] != FORMAT:
            raise StateError("saved by another version of querywatch")
        if known != (FORMAT, self._topic, self._topic_id, partition):
            raise StateError(f"belongs to topic {known[1]} with id {known[2]}: the topic was recreated")
        return state

    def _unwritable(self, error: OSError) -> InfrastructureError:
        return InfrastructureError(
            f"state directory {self.directory}: cannot be written ({error.strerror or error}); "
            f"free space, mend its rights, or name another in state.directory"
        )
