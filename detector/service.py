"""The live run: partitions in, alerts out, nothing lost and nothing told twice.

For each poll: decode, process, hand over to the dispatcher. Every `state.save_seconds`, once all sinks have
stored all of it: copy each partition's state, which holds its next offset. A thread writes it; then those
offsets are committed.
Delivery always comes before saving, so whatever a stop at any moment leaves undelivered is read again, and an
alert that is written again has the same id.

A partition that goes to another member is saved, then let go; on this machine the other waits for that.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import structlog

from connectors.base import AlertSink
from connectors.query_log import Decoder
from detector import shard_state
from detector.backoff import backoff
from detector.config import Config
from detector.dispatcher import Dispatcher
from detector.episodes import SelfAlertEpisodes
from detector.errors import SourceError
from detector.monitor import Monitor
from detector.outputs import Outputs
from detector.ownership import Partitions
from detector.partition_source import PartitionSource
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.query import DeadLetter, RawBatch
from detector.resume import announce, resume
from detector.saver import Saver
from detector.settings import Settings
from detector.state_store import StateStore
from detector.summary import Account
from detector.vitals import Vitals

POLL_SECONDS = 0.5
SETTLE_SECONDS, LAST_SECONDS = 1.0, 5.0
"""How long a save, and the last one, waits for the sinks to store what they were handed."""

log = structlog.get_logger(__name__)


class Service:
    """One worker: a shard for each partition that the group gives it.

    `assigned` and `revoked` are the source's callbacks, `on_turn` is called once a turn. Set `stop` to end.
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
        self._config = config
        self._settings = settings
        self._profiles = profiles
        self._decoder = decoder
        episodes = SelfAlertEpisodes(store.directory, config.kafka.topic)
        self.monitor = Monitor(config, socket.gethostname(), episodes)
        self.vitals = Vitals(self.monitor)
        self.on_turn: Callable[[], None] = lambda: None
        self._dispatcher = Dispatcher(outputs, config.sinks, delay=backoff, watcher=self.monitor.metrics)
        self._store = store
        self._saver = Saver(self.shards, store, self.vitals)
        self._claims = Partitions(store.directory, config.kafka.topic)
        self._source: PartitionSource
        self._backlog: list[RawBatch] = []
        self._told_below: dict[int, int] = {}
        self._ends: dict[int, int] = {}

    def assigned(self, partitions: list[int]) -> dict[int, int | None]:
        """Load the state of each partition; the offsets to go on at, None where there is neither state nor
        a committed offset. Raises SourceError while another process holds the state of one."""
        self._claims.wait(partitions, self.stop)
        self._store.topic_id = self._source.topic_id
        committed = self._source.committed(partitions)
        return {partition: self._begin(partition, committed[partition]) for partition in partitions}

    def _begin(self, partition: int, committed: int | None) -> int | None:
        found = self._store.load(
            partition,
            lambda state, pieces: shard_state.restore(state, self._settings, self._profiles, pieces),
        )
        resumption = resume(found, committed, self._source, partition, self._settings.gap)
        announce(partition, resumption)
        shard = found.state or Shard(
            self._settings, self._profiles, source=self._config.kafka.topic, partition=partition
        )
        shard.next_offset = resumption.start or 0
        self.shards[partition] = shard
        self._saver.pieces[partition] = found.pieces
        self._told_below[partition] = resumption.told_below
        if resumption.rebuilt:
            self.rebuilt[partition] = self.vitals.rebuilt[partition] = resumption.rebuilt
        if resumption.lost:
            self.lost[partition] = self.lost.get(partition, 0) + resumption.lost
            self.vitals.lost[partition] = resumption.lost
        if resumption.start is None:
            self._saver.first.add(partition)
            log.info("no saved state, a first start", partition=partition, start=self._config.kafka.start)
        return resumption.start

    def revoked(self, partitions: list[int]) -> None:
        """Let go of what goes to other members, saved where all of it was delivered."""
        moved = [partition for partition in partitions if partition in self._saver.unsaved]
        if not moved or self._dispatcher.wait_settled(SETTLE_SECONDS):
            self._tell(self._saver.save_for_others(partitions, self._source))
        for partition in partitions:
            self.shards.pop(partition, None)
            self.vitals.forget(partition)
            self._ends.pop(partition, None)
            self._saver.forget(partition)
            self._claims.release(partition)
        self._backlog = [batch for batch in self._backlog if batch.partition not in partitions]

    def open(self) -> bool:
        """Open the sinks, unless they are; False when told to stop before. Raises SinkNotReady."""
        return self._dispatcher.open(self.stop)

    def use(self, config: Config, sinks: Iterable[AlertSink]) -> None:
        """Go on with another configuration (see `detector.reload`), and other sinks of the same names."""
        self._config, self._dispatcher.sinks = config, config.sinks
        self.monitor.watchdog.thresholds = config.health
        self._settings = replace(self._settings, budget=config.detection.false_alert_budget)
        for shard in self.shards.values():
            shard.use_budget(self._settings.budget)
        for sink in sinks:
            self._dispatcher.replace(sink)

    def close(self) -> None:
        """Close the sinks."""
        self._dispatcher.close()

    def run(self, source: PartitionSource, *, until_end: bool = False) -> None:
        """Go on until `stop` is set, or until the end that each partition had at the start.

        Opens the sinks and closes them. Raises SinkNotReady; SourceError for a position that the topic no
        longer holds, after what was done is saved.
        """
        self._source = source
        try:
            if self.open():
                self._run(until_end=until_end)
        finally:
            self._saver.close()
            self.close()
            self._claims.release_all()
            self.monitor.close()

    def _run(self, *, until_end: bool) -> None:
        next_save = time.monotonic() + self._config.state.save_seconds
        while not self.stop.is_set():
            batches = self._backlog or self._poll()
            self._backlog = []
            for batch in batches:
                self._take(batch)
            self._turn()
            self._hold_back()
            self._tell(self._saver.tend(self._source))
            if time.monotonic() >= next_save and self._dispatcher.wait_settled(SETTLE_SECONDS):
                self._saver.begin(self._source)
                next_save = time.monotonic() + self._config.state.save_seconds
            done = until_end and not self._backlog and self._at_end(idle=not batches)
            if done and self._dispatcher.wait_settled(POLL_SECONDS):
                break
        self._last_save()

    def _last_save(self) -> None:
        if self._dispatcher.wait_settled(LAST_SECONDS):
            self._save()
        else:
            log.warning("stopped with alerts that could not be delivered; they are found again at the start")
        self._account_letters(self._dispatcher.returned())

    def _turn(self) -> None:
        """Once a turn: see to the sinks, and to what the service shows of itself."""
        self.on_turn()
        self._dispatcher.tend()
        self._account_letters(self._dispatcher.returned())
        alerts = self.vitals.turn(self.shards, self._source, self._dispatcher, self.account.alerts)
        self._dispatcher.put(alerts, [])

    def _account_letters(self, letters: list[DeadLetter]) -> None:
        self.account.add_letters(letters)
        self.monitor.metrics.refused(letters)

    def _poll(self) -> list[RawBatch]:
        attempt = 0
        while not self.stop.is_set():
            try:
                return self._source.poll(POLL_SECONDS, self._config.pipeline.batch_queries)
            except SourceError as error:
                if error.offset >= 0:
                    self._last_save()
                    raise
                attempt += 1
                self.monitor.metrics.source_errors.inc()
                log.error("cannot read, trying again", problem=str(error), attempt=attempt)
                self.stop.wait(backoff(attempt))
                self._turn()
        return []

    def _take(self, batch: RawBatch) -> None:
        """Decode and process a batch, and hand over what comes of it."""
        shard = self.shards.get(batch.partition)
        if shard is None or not batch.offsets:
            return
        began = time.monotonic()
        records, letters = self._decoder.decode(batch)
        decoded = time.monotonic()
        # What was delivered before, and was read again to rebuild sessions, is not told again.
        told = max(shard.next_offset, self._told_below.get(batch.partition, 0))
        letters = [letter for letter in letters if letter.offset >= told]
        with self.vitals.counted(shard):
            outcome = shard.process(records)
        # Records that cannot be used move the position too.
        shard.next_offset = max(shard.next_offset, batch.offsets[-1] + 1)
        self._saver.unsaved.add(batch.partition)
        letters += [letter for letter in outcome.dead_letters if letter.offset >= told]
        alerts = [alert for alert in outcome.alerts if alert.offset >= told]
        self.vitals.worked(began, decoded, time.monotonic())
        self.monitor.metrics.processed(len(records), outcome, alerts)
        self.account.add(len(records), outcome, alerts)
        self._account_letters(letters)
        self._dispatcher.put(alerts, letters)

    def _hold_back(self) -> None:
        """Wait while the sinks can be handed nothing more, or until told to stop.

        Meanwhile nothing is fetched, but the source is polled, so that the group keeps this member.
        """
        if not (why := self._dispatcher.blocked()):
            return
        log.error("reading is paused", why=why)
        self._source.pause()
        while not self.stop.is_set() and self._dispatcher.blocked():
            try:
                self._backlog += self._source.poll(POLL_SECONDS, self._config.pipeline.batch_queries)
            except SourceError as problem:
                self.monitor.metrics.source_errors.inc()
                log.error("cannot keep the membership alive", problem=str(problem))
                self.stop.wait(POLL_SECONDS)
            self._turn()
        self._source.resume()
        log.info("reading goes on")

    @property
    def save_problem(self) -> str:
        """Why the last save or commit failed; empty when it did not."""
        return self._saver.problem

    def _save(self) -> None:
        self._tell(self._saver.save(self._source))

    def _tell(self, saved: dict[int, int]) -> None:
        if saved:
            log.info("saved", offsets=saved, queries=self.account.queries, alerts=self.account.alerts)

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
