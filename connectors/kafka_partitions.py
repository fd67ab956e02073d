"""What every client of Kafka does alike: whose partitions, where each begins, what a batch holds."""

from __future__ import annotations

import logging
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping

from connectors.kafka_connection import KafkaSettings
from connectors.kafka_start import Start, out_of_range, start_time
from connectors.kafka_topic_id import TopicId
from detector.errors import Fenced, SourceError
from detector.query import RawBatch

SURE_SECONDS, IDLE_SECONDS = 1.0, 10.0
"""For so long it is taken for granted that the name still means the same topic, with records and without."""

log = logging.getLogger(__name__)

OnAssigned = Callable[[list[int]], Mapping[int, int | None]]
OnRevoked = Callable[[list[int]], None]

Events = queue.SimpleQueue[tuple[str, set[int]]]
"""What the group did: `assigned` with all partitions that are this member's now; `revoked` with some that it
has to let go, and that are its own until it has; `lost` with some that belong to others already."""


class _Recreated(Exception):
    """The name means another topic than the one that is being read."""


class TopicSource(ABC):
    """Reads one topic as a member of a consumer group. Not for use from several threads.

    Both callbacks run inside `poll`, on its thread:
    `on_assigned(partitions)` returns the next offset of each, or None where nothing is saved: then reading
    begins where `kafka.start` says. `on_revoked(partitions)` tells which belong to others by now, so their
    state must be let go, saved at once or not. What a member keeps through a rebalance is named in neither.
    `future_seconds` is how far ahead of the broker's newest record a record's own time may lie.
    `metadata_seconds` is how long it may take until partitions added to the topic are noticed.
    `instance_id` makes the member a static one: a process that starts again under the same id, after a
    crash, takes the place of the one before it at once. Two at a time must not have the same; the older of
    them is told so by Fenced, from `poll` or `commit`.

    A topic that is deleted and made anew while it is read: all partitions are told to be revoked, then those
    of the new topic to be assigned, with another `topic_id`. What was fetched and not returned is dropped.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        on_assigned: OnAssigned,
        on_revoked: OnRevoked = lambda partitions: None,
        future_seconds: float = 86_400.0,
        max_record_bytes: int = 4 * 1024 * 1024,
        metadata_seconds: float = 60.0,
        instance_id: str = "",
    ) -> None:
        self._settings = settings
        self._instance_id = instance_id
        self._cooperative = settings.rebalance == "cooperative"
        self._start_time = start_time(settings.start)
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._future_seconds = future_seconds
        # Room for a record just over the limit, which then becomes a dead letter with its size.
        self._fetch_bytes = max(max_record_bytes * 2, 1024 * 1024)
        self._metadata_seconds = metadata_seconds
        self._present_at_open: set[int] = set()
        self._assigned: set[int] = set()
        self._owned: set[int] = set()  # assigned, and begun where the caller said
        self._offered: set[int] = set()  # told to the caller, not begun: a question failed
        self._ready: list[RawBatch] = []  # fetched, not yet returned
        self._events: Events = queue.SimpleQueue()
        self._paused = False
        self._identity = TopicId(settings)
        self._anew = False  # the topic was recreated, and is not open yet
        self.starts: dict[int, Start] = {}
        """Where each partition that was assigned since `open` began; for the service to print."""

    @property
    def topic_id(self) -> str:
        """The broker's id of the topic, known when partitions are assigned; empty where it has none."""
        return self._identity.known

    @abstractmethod
    def open(self) -> None:
        """Connect and ask to join the group; partitions come with `poll`. Raises SourceError, ConfigError."""

    def poll(self, timeout_seconds: float, max_records: int) -> list[RawBatch]:
        """Up to `max_records` records, one batch a partition in offset order; empty when none came in time.

        Also keeps the membership alive, so it must be called every few seconds, paused or not. A record
        without a value becomes empty bytes. Raises SourceError, at a retention gap with the offsets.
        """
        try:
            if self._anew:
                self._open_anew()
            self._fetch_ready(timeout_seconds, max_records)
            if not self._identity.asked_within(SURE_SECONDS if self._ready else IDLE_SECONDS):
                self._same_topic()
        except SourceError as error:
            if error.offset < 0 or not self._is_another():
                raise
            self._leave_topic()
        except _Recreated:
            self._leave_topic()
        # Kept until here: nothing is lost when a question above fails and the caller polls again.
        ready, self._ready = self._ready, []
        return [batch for batch in ready if batch.partition in self._owned]

    @abstractmethod
    def _fetch_ready(self, timeout_seconds: float, max_records: int) -> None:
        """Put what came in time into `_ready`, and follow the group. Raises as `poll` does."""

    @abstractmethod
    def offset_at(self, partition: int, seconds: float) -> int:
        """The first offset with a broker timestamp at or after `seconds` (epoch), or the end."""

    def held(self, partition: int) -> tuple[int, int]:
        """First offset that the partition holds, and the next to be written. Raises SourceError."""
        earliest, latest = self._range([partition])
        return earliest[partition], latest[partition]

    @abstractmethod
    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        """The group's committed next offset of each partition, None where it never committed."""

    @abstractmethod
    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit next offsets. Call it after the state that they belong to is saved.

        Partitions that this member does not own are left out: their new owner commits them. False when
        the group is rebalancing: nothing is lost, the next commit covers it. Raises SourceError, Fenced.
        """

    @abstractmethod
    def pause(self) -> None:
        """Fetch nothing more until `resume`; `poll` then only keeps the membership alive."""

    @abstractmethod
    def resume(self) -> None:
        """Fetch again, from where each partition stopped."""

    @abstractmethod
    def lag(self) -> dict[int, int]:
        """Records between the next one to be returned and the end, of each owned partition."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group, so that others take over at once, and release the connection.

        What is not committed stays so.
        """

    @abstractmethod
    def _range(self, partitions: Collection[int]) -> tuple[dict[int, int], dict[int, int]]:
        """First offset held and next offset to be written, of each partition."""

    @abstractmethod
    def _continue_at(self, partition: int, offset: int) -> None:
        """Begin to fetch a partition, unless paused."""

    def _batch(self, partition: int, values: list[bytes], offsets: list[int], stamps: list[int]) -> RawBatch:
        """`stamps` are the broker's, in milliseconds, of the records that have one."""
        newest = max(stamps) / 1000.0 if stamps else time.time()
        return RawBatch(
            source=self._settings.topic,
            partition=partition,
            values=values,
            offsets=offsets,
            latest=newest + self._future_seconds,
        )

    def _follow_group(self) -> None:
        """Tell the caller what the last rebalances took and gave, and begin with what is new."""
        self._let_go()
        new = sorted(self._assigned - self._owned)
        if new:
            self._same_topic()
            self._offered |= set(new)
            self._begin(new, self._on_assigned(new))
            self._offered -= set(new)
            self._owned |= set(new)

    def _let_go(self) -> None:
        """Tell the caller what the last rebalances took."""
        while not self._events.empty():
            kind, partitions = self._events.get()
            held = self._owned | self._offered
            gone = held - partitions if kind == "assigned" else held & partitions
            self._assigned = partitions if kind == "assigned" else self._assigned - partitions
            if gone:
                if kind != "revoked":
                    self._owned -= gone
                self._offered -= gone
                log.info("partitions %s of %s go to other members", sorted(gone), self._settings.topic)
                self._on_revoked(sorted(gone))
                self._owned -= gone
        self._ready = [batch for batch in self._ready if batch.partition in self._owned]

    def _same_topic(self) -> None:
        """Raises _Recreated when the topic is another than the one that is being read, else SourceError."""
        # Of a topic that is gone and not there again, what was fetched before is as good as ever.
        if self._identity.is_another():
            if self._owned or self._offered:
                raise _Recreated
            self._present_at_open = set()
            self._identity.accept()

    def _is_another(self) -> bool:
        try:
            self._same_topic()
        except _Recreated:
            return True
        return False

    def _leave_topic(self) -> None:
        """Let go of all that belongs to the topic that is gone; the next `poll` opens the new one."""
        log.error("topic %s was recreated, the new one is read from its first record", self._settings.topic)
        gone = sorted(self._owned | self._offered)
        self._owned, self._offered, self._ready = set(), set(), []
        self._on_revoked(gone)
        # The client holds positions and records of the old topic; only a new one is free of them.
        self.close()
        self._anew = True

    def _open_anew(self) -> None:
        self.open()
        self._anew = False
        # Whatever kafka.start says, all of it is new.
        self._present_at_open = set()
        self._identity.accept()

    def _forget_group(self) -> None:
        """Of a closed client."""
        self._identity.close()
        self._assigned, self._owned, self._offered = set(), set(), set()
        while not self._events.empty():
            self._events.get()

    def _begin(self, partitions: list[int], saved: Mapping[int, int | None]) -> None:
        earliest, latest = self._range(partitions)
        for partition in partitions:
            offset = saved.get(partition)
            if offset is None and partition not in self._present_at_open:
                # Whatever kafka.start says: records sent to it before it was noticed must be read.
                start = Start(earliest[partition], "partition added")
            elif offset is None:
                start = Start(self._first_offset(partition, earliest, latest), self._settings.start)
            elif earliest[partition] <= offset <= latest[partition]:
                start = Start(offset, "saved state")
            else:
                held = earliest[partition], latest[partition]
                raise out_of_range(self._settings.topic, partition, offset, held)
            self.starts[partition] = start
            log.info(
                "%s partition %d: begins at offset %d (%s)",
                self._settings.topic,
                partition,
                start.offset,
                start.chosen_by,
            )
            self._continue_at(partition, start.offset)

    def _first_offset(self, partition: int, earliest: dict[int, int], latest: dict[int, int]) -> int:
        if self._start_time is not None:
            return self.offset_at(partition, self._start_time)
        return (earliest if self._settings.start == "earliest" else latest)[partition]

    def _fenced(self) -> Fenced:
        return Fenced(
            f"another process has joined group {self._settings.group_id!r} as {self._instance_id!r}, so this "
            f"one ends. Give each service a state directory of its own, copied from no other"
        )
