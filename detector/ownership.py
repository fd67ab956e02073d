"""Whose state a partition's is: one process at a time holds it, so that it is handed over whole.

A lock on a small file beside the states, which ends with the process that holds it, however that ends. The
files stay: one that is removed while another process waits for it would be locked twice.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from detector.errors import InfrastructureError, SourceError

HANDOVER_SECONDS = 5.0
"""How long one assignment waits until the member before has saved and let go; then it is tried again."""


class Claim:
    """One file that one process at a time holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def take(self) -> bool:
        """Hold it; False while another process does. Raises InfrastructureError."""
        if self._descriptor >= 0:
            return True
        descriptor = -1
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise InfrastructureError(
                f"{self.path}: cannot be locked ({error.strerror}); state.directory needs a file system with "
                f"locks, and the rights to write there"
            ) from error
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def holder(self) -> str:
        """The process that holds it, for a person."""
        try:
            return f"process {int(self.path.read_text(encoding='ascii'))}"
        except (OSError, ValueError):
            return "another process"


class Partitions:
    """The claims on the states of one topic's partitions in `directory`."""

    def __init__(self, directory: Path, topic: str) -> None:
        self._directory = directory
        self._topic = topic
        self._claims: dict[int, Claim] = {}

    def wait(self, partitions: list[int], stop: threading.Event) -> None:
        """Hold all of them. Raises SourceError after HANDOVER_SECONDS, or when `stop` is set: try again."""
        deadline = time.monotonic() + HANDOVER_SECONDS
        while held := self.take(partitions):
            if stop.is_set() or time.monotonic() > deadline:
                raise SourceError(
                    f"{held}; a member that lost it to this one lets go when it has saved. If this goes on, "
                    f"two services use one state.directory: give each its own"
                )
            stop.wait(0.05)

    def take(self, partitions: list[int]) -> str:
        """Hold all of them, or none: then why not. Raises InfrastructureError."""
        new: list[int] = []
        for partition in partitions:
            if partition in self._claims:
                continue
            claim = Claim(self._directory / f"{self._topic}-{partition}.lock")
            if not claim.take():
                for taken in new:
                    self.release(taken)
                return f"the state of partition {partition} is held by {claim.holder()}"
            self._claims[partition] = claim
            new.append(partition)
        return ""

    def release(self, partition: int) -> None:
        """Let another process have the partition's state; of one that is not held, nothing."""
        claim = self._claims.pop(partition, None)
        if claim is not None:
            claim.release()

    def release_all(self) -> None:
        """Let others have all of them."""
        for partition in list(self._claims):
            self.release(partition)
