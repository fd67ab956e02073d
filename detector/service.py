"""The live run: partitions in, alerts out, nothing lost and nothing told twice.

For each poll: decode, process, deliver. Every `state.save_seconds`: save each partition's state, which holds
its next offset, then commit those offsets. Delivery always comes before saving, so whatever a stop at any
moment leaves undelivered is read again, and an alert that is written again has the same id.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping

import structlog

from connectors.query_log import Decoder
from detector import shard_state
from detector.alert import Alert
from detector.config import Config
from detector.errors import InfrastructureError, SinkError, SourceError
from detector.model_state import Settings
from detector.outputs import Outputs
from detector.partition_source import PartitionSource
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.query import DeadLetter, RawBatch
from detector.resume import announce, resume
from detector.state_store import StateStore
from detector.summary import Account

POLL_SECONDS = 0.5
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before the first repeat of a failed write, and at most before a later one."""

log = structlog.get_logger(__name__)


def backoff(attempt: int) -> float:
    """Seconds to wait before repeat number `attempt` (from 1): doubling, spread at random over half of it."""
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt - 1, 10)) * random.uniform(0.5, 1.0))  # noqa: S311


class Service:
    """One worker: a shard for each partition that the group gives it.

    `assigned` and `revoked` are the source's callbacks. `stop` may be set from a signal handler.
    """

    def __init__(
        self,
        config: Config,
        settings: Settings,
        profiles: Mapping[str, ModelProfile],
        decoder: Decoder,
        outputs: Outputs,
        store: StateStore,
    ) -> None:
        self.stop = threading.Event()
        self.account = Account()
        self.shards: dict[int, Shard] = {}
        self.rebuilt: dict[int, str] = {}
        """Partitions whose sessions were rebuilt from the log since the start (degraded), and why."""
        self.lost: dict[int, int] = {}
        """Records of each partition that were deleted before they were read."""
        self.save_problem = ""
        """Why the last save or commit failed; empty when it did not."""
        self._config = config
        self._settings = settings
        self._profiles = profiles
        self._decoder = decoder
        self._outputs = outputs
        self._store = store
        self._source: PartitionSource
        self._backlog: list[RawBatch] = []
        self._pending: dict[int, tuple[list[Alert], list[DeadLetter]]] = {}
        self._unsaved: set[int] = set()
        self._uncommitted: dict[int, int] = {}
        self._first: set[int] = set()
        self._told_below: dict[int, int] = {}
        self._ends: dict[int, int] = {}

    def assigned(self, partitions: list[int]) -> dict[int, int | None]:
        """Load the state of each partition; the offsets to go on at, None where there is neither state nor
        a committed offset."""
        committed = self._source.committed(partitions)
        return {partition: self._begin(partition, committed[partition]) for partition in partitions}

    def _begin(self, partition: int, committed: int | None) -> int | None:
        found = self._store.load(partition, self._restore)
        resumption = resume(found, committed, self._source, partition, self._settings.gap)
        announce(partition, resumption)
        shard = found.state or Shard(
            self._settings, self._profiles, source=self._config.kafka.topic, partition=partition
        )
        shard.next_offset = resumption.start or 0
        self.shards[partition] = shard
        self._told_below[partition] = resumption.told_below
        if resumption.rebuilt:
            self.rebuilt[partition] = resumption.rebuilt
        if resumption.lost:
            self.lost[partition] = self.lost.get(partition, 0) + resumption.lost
        if resumption.start is None:
            self._first.add(partition)
            log.info("no saved state, a first start", partition=partition, start=self._config.kafka.start)
        return resumption.start

    def revoked(self, partitions: list[int]) -> None:
        """Let go of what belongs to other members by now; they read on from the saved state or offset."""
        for partition in partitions:
            self.shards.pop(partition, None)
            self._pending.pop(partition, None)
            self._ends.pop(partition, None)
            self._uncommitted.pop(partition, None)
            self._first.discard(partition)
            self._unsaved.discard(partition)
        self._backlog = [batch for batch in self._backlog if batch.partition not in partitions]

    def _restore(self, data: bytes) -> Shard:
        return shard_state.restore(data, self._settings, self._profiles)

    def run(self, source: PartitionSource, *, until_end: bool = False) -> None:
        """Go on until `stop` is set, or until the end that each partition had at the start.

        Raises SourceError for a position that the topic no longer holds; what was done is saved first.
        """
        self._source = source
        next_save = time.monotonic() + self._config.state.save_seconds
        while not self.stop.is_set():
            batches = self._backlog or self._poll()
            self._backlog = []
            for batch in batches:
                self._take(batch)
            if not self._deliver():
                break
            if time.monotonic() >= next_save:
                self._save()
                next_save = time.monotonic() + self._config.state.save_seconds
            if until_end and not self._backlog and self._at_end(idle=not batches):
                break
        if not self._pending:
            self._save()
        else:
            log.warning("stopped with alerts that could not be delivered; they are found again at the start")

    def _poll(self) -> list[RawBatch]:
        attempt = 0
        while not self.stop.is_set():
            try:
                return self._source.poll(POLL_SECONDS, self._config.pipeline.batch_queries)
            except SourceError as error:
                if error.offset >= 0:
                    self._save()
                    raise
                attempt += 1
                delay = backoff(attempt)
                log.error("cannot read, trying again", problem=str(error), seconds=round(delay, 1))
                self.stop.wait(delay)
        return []

    def _take(self, batch: RawBatch) -> None:
        """Decode and process a batch; what comes of it waits in `_pending`."""
        shard = self.shards.get(batch.partition)
        if shard is None or not batch.offsets:
            return
        records, letters = self._decoder.decode(batch)
        # What was delivered before, and was read again to rebuild sessions, is not told again.
        told = max(shard.next_offset, self._told_below.get(batch.partition, 0))
        letters = [letter for letter in letters if letter.offset >= told]
        outcome = shard.process(records)
        # Records that cannot be used move the position too.
        shard.next_offset = max(shard.next_offset, batch.offsets[-1] + 1)
        self._unsaved.add(batch.partition)
        letters += [letter for letter in outcome.dead_letters if letter.offset >= told]
        alerts = [alert for alert in outcome.alerts if alert.offset >= told]
        self.account.records += len(records)
        self.account.queries += outcome.queries
        self.account.repeated += outcome.repeated
        self.account.add_alerts(alerts)
        self.account.add_letters(letters)
        if alerts or letters:
            waiting = self._pending.setdefault(batch.partition, ([], []))
            waiting[0].extend(alerts)
            waiting[1].extend(letters)

    def _deliver(self) -> bool:
        """Write all that waits, as often as it takes; False when told to stop before it was written.

        Meanwhile nothing is fetched, but the source is polled, so that the group keeps this member.
        """
        attempt = 0
        while self._pending:
            try:
                alerts = [alert for waiting, _ in self._pending.values() for alert in waiting]
                letters = [letter for _, waiting in self._pending.values() for letter in waiting]
                self.account.add_letters(self._outputs.write(alerts, letters))
                self._pending.clear()
            except SinkError as error:
                if self.stop.is_set():
                    return False
                attempt += 1
                self._wait_for_sink(attempt, error)
        if attempt:
            self._source.resume()
            log.info("the sink takes alerts again", attempts=attempt)
        return True

    def _wait_for_sink(self, attempt: int, error: SinkError) -> None:
        delay = backoff(attempt)
        log.error("cannot deliver, reading is paused", problem=str(error), attempt=attempt, seconds=delay)
        self._source.pause()
        until = time.monotonic() + delay
        while not self.stop.is_set() and (left := until - time.monotonic()) > 0:
            try:
                self._backlog += self._source.poll(
                    min(left, POLL_SECONDS), self._config.pipeline.batch_queries
                )
            except SourceError as problem:
                log.error("cannot keep the membership alive", problem=str(problem))
                self.stop.wait(min(left, POLL_SECONDS))

    def _save(self) -> None:
        """Save the state of every partition that moved, then commit. What fails is done at the next save."""
        problem = ""
        self._note_first_starts()
        for partition in sorted(self._unsaved):
            shard = self.shards[partition]
            try:
                saved = self._store.save(partition, shard_state.dump(shard), shard.next_offset)
            except InfrastructureError as error:
                problem = str(error)
                continue
            self._unsaved.discard(partition)
            if saved:
                self._uncommitted[partition] = shard.next_offset
        try:
            offsets = dict(self._uncommitted)
            if offsets and self._source.commit(offsets):
                self._uncommitted.clear()
                log.info("saved", offsets=offsets, queries=self.account.queries, alerts=self.account.alerts)
        except SourceError as error:
            problem = problem or str(error)
        if problem:
            log.error("cannot save or commit, trying again at the next save", problem=problem)
        elif self.save_problem:
            log.info("state is saved again")
        self.save_problem = problem

    def _note_first_starts(self) -> None:
        """Save also where a first start began, or the next start would begin anew at `kafka.start`."""
        for partition in [p for p in self._first if p in self._source.starts]:
            self._first.discard(partition)
            shard = self.shards[partition]
            shard.next_offset = max(shard.next_offset, self._source.starts[partition].offset)
            self._unsaved.add(partition)

    def _at_end(self, *, idle: bool) -> bool:
        """True when every partition has been read to the end that it had when it was assigned."""
        for partition in self.shards:
            if partition not in self._ends:
                self._ends[partition] = self._source.held(partition)[1]
        behind = [p for p, shard in self.shards.items() if shard.next_offset < self._ends[p]]
        if not behind:
            return bool(self.shards)
        # The last offsets of a topic may be transaction markers, which are never returned.
        return idle and not any(self._source.lag().values())
