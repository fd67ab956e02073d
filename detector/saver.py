"""Saving: each partition's state with its next offset, then the commit of those offsets.

Called when all that came of the records so far is delivered.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog

from detector import shard_state
from detector.errors import InfrastructureError, SourceError
from detector.partition_source import PartitionSource
from detector.pipeline import Shard
from detector.state_store import StateStore
from detector.vitals import Vitals

log = structlog.get_logger(__name__)


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

    def save(self, source: PartitionSource) -> dict[int, int]:
        """Save every partition that moved, then commit; the offsets committed now. What fails is done at the
        next save."""
        self._note_first_starts(source)
        problem = self._save_states(sorted(self.unsaved))
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

    def save_for_others(self, partitions: list[int]) -> None:
        """Save partitions that go to other members, which commit them."""
        if problem := self._save_states(partitions):
            log.error("cannot save what goes to other members, they read it again", problem=problem)

    def forget(self, partition: int) -> None:
        """A partition went to another member."""
        self.unsaved.discard(partition)
        self.first.discard(partition)
        self._uncommitted.pop(partition, None)

    def _save_states(self, partitions: list[int]) -> str:
        """Why that failed for one, empty when for none."""
        problem = ""
        for partition in partitions:
            shard = self._shards[partition]
            began = time.monotonic()
            state = shard_state.dump(shard)
            try:
                saved = self._store.save(partition, state, shard.next_offset)
            except InfrastructureError as error:
                problem = str(error)
                continue
            self._vitals.saved(partition, time.monotonic() - began, len(state))
            self.unsaved.discard(partition)
            if saved:
                self._uncommitted[partition] = shard.next_offset
        return problem

    def _note_first_starts(self, source: PartitionSource) -> None:
        """Save also where a first start began, or the next start would begin anew at `kafka.start`."""
        for partition in [p for p in self.first if p in source.starts]:
            self.first.discard(partition)
            shard = self._shards[partition]
            shard.next_offset = max(shard.next_offset, source.starts[partition].offset)
            self.unsaved.add(partition)
