"""Saving: each partition's state with its next offset, then the commit of those offsets.

A save begins when all that came of the records so far is delivered: the states are copied, and that is all
that the loop waits for. A thread packs and writes them; the loop commits their offsets once they are on the
disk.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from detector import shard_state
from detector.errors import InfrastructureError, SourceError
from detector.partition_source import PartitionSource
from detector.pipeline import Shard
from detector.state_store import StateStore
from detector.vitals import Vitals
from models.base import Arrays

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """What came of writing a partition's state. saved is False where another member has a later one."""

    partition: int
    next_offset: int
    seconds: float
    size: int
    saved: bool
    problem: str = ""


class Saver:
    """Knows which of the `shards` have moved since they were saved, and what is saved but not committed."""

    def __init__(self, shards: Mapping[int, Shard], store: StateStore, vitals: Vitals) -> None:
        self.unsaved: set[int] = set()
        self.first: set[int] = set()
        """Partitions at their first start, of which nothing is saved yet."""
        self.problem = ""
        """Why the last save or commit failed; empty when it did not."""
        self._shards = shards
        self._store = store
        self._vitals = vitals
        self._uncommitted: dict[int, int] = {}
        self._thread = ThreadPoolExecutor(1, "state")
        self._writing: list[Future[_Written]] = []
        self._pause = 0.0

    def begin(self, source: PartitionSource) -> None:
        """Copy the state of every partition that moved, to be written; nothing while a save is under way."""
        if self._writing:
            return
        self._note_first_starts(source)
        self._copy(sorted(self.unsaved))

    def tend(self, source: PartitionSource) -> dict[int, int]:
        """When all of a save is written, commit; the offsets committed now. What fails is done at the next
        save."""
        if not self._writing or not all(future.done() for future in self._writing):
            return {}
        return self._end(source)

    def save(self, source: PartitionSource) -> dict[int, int]:
        """End the save that is under way, and save what has moved since."""
        committed = self._end(source) if self._writing else {}
        self.begin(source)
        return committed | self._end(source)

    def save_for_others(self, partitions: list[int]) -> None:
        """Save partitions that go to other members, which commit them."""
        problem = self._written()
        self._copy(sorted(self.unsaved.intersection(partitions)))
        if problem := self._written() or problem:
            log.error("cannot save what goes to other members, they read it again", problem=problem)

    def forget(self, partition: int) -> None:
        """A partition went to another member."""
        self._written()
        self.unsaved.discard(partition)
        self.first.discard(partition)
        self._uncommitted.pop(partition, None)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _end(self, source: PartitionSource) -> dict[int, int]:
        problem = self._written()
        committed: dict[int, int] = {}
        try:
            if self._uncommitted and source.commit(dict(self._uncommitted)):
                committed, self._uncommitted = self._uncommitted, {}
        except SourceError as error:
            problem = problem or str(error)
        if problem:
            log.error("cannot save or commit, trying again at the next save", problem=problem)
        elif self.problem:
            log.info("state is saved again")
        self.problem = problem
        self._vitals.save_ended(problem)
        return committed

    def _copy(self, partitions: list[int]) -> None:
        """Have a thread write these as they are now."""
        began = time.monotonic()
        for partition in partitions:
            shard = self._shards[partition]
            meta, arrays = shard_state.snapshot(shard)
            self._writing.append(self._thread.submit(self._write, partition, shard.next_offset, meta, arrays))
            self.unsaved.discard(partition)
        self._pause = time.monotonic() - began

    def _write(self, partition: int, next_offset: int, meta: dict[str, Any], arrays: Arrays) -> _Written:
        began = time.monotonic()
        state = shard_state.packed(meta, arrays)
        try:
            saved = self._store.save(partition, state, next_offset)
        except InfrastructureError as error:
            return _Written(partition, next_offset, 0.0, 0, saved=False, problem=str(error))
        return _Written(partition, next_offset, time.monotonic() - began, len(state), saved=saved)

    def _written(self) -> str:
        """Wait until all is written; why that failed for one, empty when for none."""
        problem = ""
        for written in [future.result() for future in self._writing]:
            if written.problem:
                problem = written.problem
                self.unsaved.add(written.partition)
                continue
            self._vitals.saved(written.partition, written.seconds, written.size)
            log.info(
                "state written",
                partition=written.partition,
                next_offset=written.next_offset,
                bytes=written.size,
                seconds=round(written.seconds, 3),
                pause=round(self._pause, 3),
            )
            if written.saved:
                self._uncommitted[written.partition] = written.next_offset
        self._writing.clear()
        return problem

    def _note_first_starts(self, source: PartitionSource) -> None:
        """Save also where a first start began, or the next start would begin anew at `kafka.start`."""
        for partition in [p for p in self.first if p in source.starts]:
            self.first.discard(partition)
            shard = self._shards[partition]
            shard.next_offset = max(shard.next_offset, source.starts[partition].offset)
            self.unsaved.add(partition)
