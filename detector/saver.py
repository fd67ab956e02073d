"""Saving: each partition's state with its next offset, then the commit of those offsets.

A save begins when all that came of the records so far is delivered: the states are copied, and that is all
that the loop waits for. A thread packs and writes them; the loop commits their offsets once they are on the
disk. Of a large state only what changed since the last save is copied and written (`detector.changes`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import structlog

from detector import changes, shard_state
from detector.container import Damaged
from detector.errors import InfrastructureError, SourceError, StateError
from detector.partition_source import PartitionSource
from detector.pipeline import Shard
from detector.shard_state import Snapshot
from detector.state_header import Pieces
from detector.state_store import StateStore
from detector.vitals import Vitals

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Written:
    """What came of writing a partition's state: its pieces, None where another member has a later one, or why
    it failed. `lost` says that the pieces before cannot be read any more."""

    partition: int
    snapshot: Snapshot
    seconds: float = 0.0
    size: int = 0
    pieces: Pieces | None = None
    problem: str = ""
    lost: bool = False


class Saver:
    """Knows which of the `shards` have moved since they were saved, and what is saved but not committed."""

    def __init__(self, shards: Mapping[int, Shard], store: StateStore, vitals: Vitals) -> None:
        self.pieces: dict[int, Pieces] = {}
        """What each partition's saved state consists of, beside the state itself."""
        self.unsaved: set[int] = set()
        self.first: set[int] = set()
        """Partitions at their first start, of which nothing is saved yet."""
        self.problem = ""
        """Why the last save or commit failed; empty when it did not."""
        self._shards = shards
        self._store = store
        self._vitals = vitals
        self._uncommitted: dict[int, int] = {}
        self._under_way = False
        """A save has begun and has not been tried to commit."""
        self._thread = ThreadPoolExecutor(1, "state")
        self._writing: list[Future[_Written]] = []
        self._pause = 0.0
        self._awaited = threading.Event()
        """Set while somebody waits for what is being written."""

    def begin(self, source: PartitionSource) -> None:
        """Copy the state of every partition that moved, to be written; nothing while a save is under way.
        Where none moved, what is saved may still be uncommitted: a rebalance puts commits off."""
        if self._under_way:
            return
        self._note_first_starts(source)
        self._copy(sorted(self.unsaved))
        self._under_way = bool(self._writing or self._uncommitted)

    def tend(self, source: PartitionSource) -> dict[int, int]:
        """When all of a save is written, commit; the offsets committed now. What fails is done at the next
        save."""
        if not self._under_way or not all(future.done() for future in self._writing):
            return {}
        return self._end(source)

    def save(self, source: PartitionSource) -> dict[int, int]:
        """End the save that is under way, and save what has moved since."""
        committed = self._end(source) if self._under_way else {}
        self.begin(source)
        return committed | self._end(source)

    def save_for_others(self, partitions: list[int], source: PartitionSource) -> dict[int, int]:
        """Save partitions that go to other members, and commit them while that is this member's to do. The
        offsets at which they are saved."""
        problem = self._written()
        self._copy(sorted(self.unsaved.intersection(partitions)))
        problem = self._written() or problem
        saved = {p: self._uncommitted[p] for p in partitions if p in self._uncommitted}
        try:
            source.commit(saved)
        except SourceError as error:
            problem = problem or str(error)
        if problem:
            log.error("cannot save what goes to other members, they read it again", problem=problem)
        return saved

    def forget(self, partition: int) -> None:
        """A partition went to another member."""
        self._written()
        self.pieces.pop(partition, None)
        self.unsaved.discard(partition)
        self.first.discard(partition)
        self._uncommitted.pop(partition, None)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _end(self, source: PartitionSource) -> dict[int, int]:
        problem = self._written()
        self._under_way = False
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
            copy = shard_state.snapshot(self._shards[partition])
            before = self.pieces.get(partition, ())
            self._writing.append(self._thread.submit(self._write, partition, copy, before))
            self.unsaved.discard(partition)
        self._pause = time.monotonic() - began

    def _write(self, partition: int, copy: Snapshot, before: Pieces) -> _Written:
        began = time.monotonic()
        try:
            pieces, rows = self._added(partition, copy, before) if copy.changes else ((), b"")
        except (StateError, Damaged) as error:
            return _Written(partition, copy, problem=str(error), lost=True)
        try:
            state = copy.packed()
            saved = self._store.save(partition, state, copy.next_offset, pieces, rows)
        except InfrastructureError as error:
            return _Written(partition, copy, problem=str(error))
        seconds = time.monotonic() - began
        return _Written(partition, copy, seconds, len(state) + len(rows), pieces if saved else None)

    def _added(self, partition: int, copy: Snapshot, before: Pieces) -> tuple[Pieces, bytes]:
        """The pieces of the state with the changes, and the bytes of the last. Raises StateError, Damaged.

        Making many pieces into one takes long, so it waits when somebody waits.
        """
        rows = changes.to_bytes(copy.changes)
        if before and changes.due((piece.size for piece in before), copy.changes):
            joined = changes.joined(chain(map(self._store.read, before), [rows]), self._awaited.is_set)
            if joined is not None:
                before, rows = (), changes.to_bytes(changes.whole(joined))
        self._store.require(before)
        return (*before, self._store.piece(partition, copy.next_offset, rows)), rows

    def _written(self) -> str:
        """Wait until all is written; why that failed for one, empty when for none."""
        problem = ""
        self._awaited.set()
        found = [future.result() for future in self._writing]
        self._awaited.clear()
        for written in found:
            partition, copy = written.partition, written.snapshot
            if written.problem:
                problem = written.problem
                self.unsaved.add(partition)
                self._put_back(written)
                continue
            self._vitals.saved(partition, written.seconds, written.size)
            log.info(
                "state written",
                partition=partition,
                next_offset=copy.next_offset,
                bytes=written.size,
                seconds=round(written.seconds, 3),
                pause=round(self._pause, 3),
            )
            if written.pieces is None:
                self._put_back(written)
            else:
                self.pieces[partition] = written.pieces
                self._uncommitted[partition] = copy.next_offset
        self._writing.clear()
        return problem

    def _put_back(self, written: _Written) -> None:
        """What could not be saved is to be in the next save."""
        shard = self._shards.get(written.partition)
        if shard is None:
            return
        if written.lost:
            self.pieces.pop(written.partition, None)
            shard_state.save_all_next(shard)
        else:
            shard_state.put_back(shard, written.snapshot.changes)

    def _note_first_starts(self, source: PartitionSource) -> None:
        """Save also where a first start began, or the next start would begin anew at `kafka.start`."""
        for partition in [p for p in self.first if p in source.starts]:
            self.first.discard(partition)
            shard = self._shards[partition]
            shard.next_offset = max(shard.next_offset, source.starts[partition].offset)
            self.unsaved.add(partition)
