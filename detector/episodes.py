"""Which of its troubles the detector has told, in a file beside the states: the next process goes on there.

Without it a restart in the middle of an episode would tell it as new, and its end would never be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec
import structlog

from detector.errors import InfrastructureError
from detector.ownership import Claim
from detector.state_store import write_durably
from detector.watchdog import KINDS, Notice

MOST_BYTES = 1 << 20
"""No file of ours is larger: there are some dozens of episodes at the most."""

log = structlog.get_logger(__name__)


class _Kept(msgspec.Struct):
    open: list[Notice] = []
    pending: list[Notice] = []


class SelfAlertEpisodes:
    """Episodes that are open, and notices that no sink may have yet, of one process on `topic`.

    Processes that share `directory` each hold a file of their own, the first that is free. A file that cannot
    be read or written costs what it is for and no more: the log says so.
    """

    def __init__(self, directory: Path, topic: str) -> None:
        self._directory, self._topic = directory, topic
        self._kept = _Kept()
        self._path: Path | None = None
        self._claim: Claim | None = None
        self._unwritten = False
        self._problem = ""

    def load(self) -> tuple[list[Notice], list[Notice]]:
        """Hold a file; the episodes that the process before left open, and notices that it may not have
        delivered."""
        for number in count():
            name = self._directory / f"{self._topic}.episodes-{number}"
            claim = Claim(name.with_name(f"{name.name}.lock"))
            try:
                if not claim.take():
                    continue
            except InfrastructureError as error:
                self._trouble(str(error))
                return [], []
            self._path, self._claim = name, claim
            break
        self._kept = self._read()
        return list(self._kept.open), list(self._kept.pending)

    def note(self, notices: Sequence[Notice], still_open: Sequence[Notice]) -> None:
        """Keep what is told now, before it is, and which episodes are open after it."""
        if notices:
            self._kept = _Kept(list(still_open), [*self._kept.pending, *notices])
            self._unwritten = True
        self._write()

    def delivered(self) -> None:
        """Every sink has all that was noted so far."""
        if self._kept.pending:
            self._kept = _Kept(self._kept.open, [])
            self._unwritten = True
        self._write()

    def close(self) -> None:
        """Let the next process have the file."""
        if self._claim is not None:
            self._claim.release()
        self._path = self._claim = None

    def _read(self) -> _Kept:
        path = self._path
        if path is None:
            return _Kept()
        try:
            with path.open("rb") as file:
                found = msgspec.json.decode(file.read(MOST_BYTES), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except (OSError, ValueError) as error:
            self._trouble(f"{path}: cannot be read ({error})")
            return _Kept()
        return _Kept(
            *([n for n in part if n.condition.kind in KINDS] for part in (found.open, found.pending))
        )

    def _write(self) -> None:
        path = self._path
        if path is None or not self._unwritten:
            return
        partial = path.with_name(f"{path.name}.partial")
        try:
            write_durably(partial, msgspec.json.encode(self._kept))
            partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            self._trouble(f"{path}: cannot be written ({error.strerror})")
            return
        self._unwritten, self._problem = False, ""

    def _trouble(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("a restart may tell self-alerts again, or not their end", problem=problem)
        self._problem = problem
