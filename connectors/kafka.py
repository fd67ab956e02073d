"""The query log in a Kafka topic, read through kafka-python.

Partitions come and go with the consumer group. The caller says where each begins (the next offset of
its saved state); the group's committed offsets follow the saved state and serve lag monitoring.
Nothing ever jumps: an offset that the topic no longer holds is a SourceError, not a silent reset.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import MemberState, OffsetAndMetadata

from connectors.kafka_connection import (
    REQUEST_SECONDS,
    KafkaSettings,
    check,
    connect,
    explain,
    missing_topic,
    topic_id,
)
from connectors.kafka_dead_letters import KafkaDeadLetterSink
from connectors.kafka_group import Rebalances, Start, start_time
from detector.errors import SourceError
from detector.query import RawBatch

__all__ = ["KafkaDeadLetterSink", "KafkaSettings", "KafkaSource", "Start", "check", "topic_id"]

log = logging.getLogger(__name__)

_REQUEST_MS = int(REQUEST_SECONDS * 1000)
_NOT_NOW = (RebalanceInProgressError, CommitFailedError, IllegalGenerationError, UnknownMemberIdError)

OnAssigned = Callable[[list[int]], Mapping[int, int | None]]
OnRevoked = Callable[[list[int]], None]


class KafkaSource:
    """Reads one topic as a member of a consumer group. Not for use from several threads.

    Both callbacks run inside `poll`, on its thread:
    `on_assigned(partitions)` returns the next offset of each, or None where nothing is saved: then reading
    begins where `kafka.start` says. `on_revoked(partitions)` tells which belong to others by now, so their
    state must be let go, not saved. What a member keeps through a rebalance is named in neither.
    `future_seconds` is how far ahead of the broker's newest record a record's own time may lie.
    `metadata_seconds` is how long it may take until partitions added to the topic are noticed.
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
    ) -> None:
        self._settings = settings
        self._start_time = start_time(settings.start)
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._future_seconds = future_seconds
        self._max_record_bytes, self._metadata_seconds = max_record_bytes, metadata_seconds
        self._present_at_open: set[int] = set()
        self._assigned: set[int] = set()
        self._owned: set[int] = set()  # assigned, and begun where the caller said
        self._paused = False
        self._consumer: Any = None
        self._rebalances: Rebalances
        self.starts: dict[int, Start] = {}
        """Where each partition that was assigned since `open` began; for the service to print."""

    def open(self) -> None:
        """Connect and ask to join the group; partitions come with `poll`. Raises SourceError, ConfigError."""
        consumer = connect(
            KafkaConsumer,
            self._settings,
            group_id=self._settings.group_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            # Room for a record just over the limit, which then becomes a dead letter with its size.
            max_partition_fetch_bytes=max(self._max_record_bytes * 2, 1024 * 1024),
            metadata_max_age_ms=int(self._metadata_seconds * 1000),
        )
        try:
            self._present_at_open = set(consumer.partitions_for_topic(self._settings.topic))
            if not self._present_at_open:
                raise SourceError(missing_topic(self._settings.topic, self._settings))
            self._rebalances = Rebalances(consumer)
            consumer.subscribe([self._settings.topic], listener=self._rebalances)
        except KafkaError as error:
            consumer.close()
            raise SourceError(explain(error, self._settings)) from error
        except SourceError:
            consumer.close()
            raise
        self._consumer = consumer

    def poll(self, timeout_seconds: float, max_records: int) -> list[RawBatch]:
        """Up to `max_records` records, one batch a partition in offset order; empty when none came in time.

        Also keeps the membership alive, so it must be called every few seconds, paused or not. A record
        without a value becomes empty bytes. Raises SourceError, at a retention gap with the offsets.
        """
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
        except OffsetOutOfRangeError as error:
            self._follow_group()
            tp, offset = next(iter(error.args[0].items()))
            raise self._out_of_range(tp.partition, offset) from error
        except LogTruncationError as error:
            tp = next(iter(error.divergent_offsets))
            raise SourceError(
                "the topic lost records that were read already (unclean leader election); delete the saved "
                "state of this partition to begin at kafka.start",
                topic=tp.topic,
                partition=tp.partition,
                offset=self._consumer.position(tp) or -1,
            ) from error
        except (KafkaError, NotImplementedError) as error:
            raise SourceError(explain(error, self._settings), topic=self._settings.topic) from error
        self._finish_rebalance()
        self._follow_group()
        return [self._batch(tp.partition, polled[tp]) for tp in sorted(polled) if tp.partition in self._owned]

    def _finish_rebalance(self) -> None:
        # kafka-python 3.0.12 forgets a rejoin over new partitions that one poll was too short for: it then
        # neither fetches nor heartbeats, without an error. Asked for again, the next poll completes it.
        if self._consumer.group_metadata().state != MemberState.STABLE:
            self._consumer._coordinator.request_rejoin()

    def _batch(self, partition: int, records: list[Any]) -> RawBatch:
        stamps = [record.timestamp for record in records if record.timestamp and record.timestamp > 0]
        newest = max(stamps) / 1000.0 if stamps else time.time()
        return RawBatch(
            source=self._settings.topic,
            partition=partition,
            values=[record.value or b"" for record in records],
            offsets=[record.offset for record in records],
            latest=newest + self._future_seconds,
        )

    def _follow_group(self) -> None:
        """Tell the caller what the last rebalances took and gave, and begin with what is new."""
        events = self._rebalances.events
        while not events.empty():
            kind, partitions = events.get()
            gone = self._owned & partitions if kind == "lost" else self._owned - partitions
            self._assigned = partitions if kind == "assigned" else self._assigned - partitions
            if gone:
                self._owned -= gone
                log.info("partitions %s of %s went to other members", sorted(gone), self._settings.topic)
                self._on_revoked(sorted(gone))
        new = sorted(self._assigned - self._owned)
        if new:
            self._begin(new, self._on_assigned(new))
            self._owned |= set(new)

    def _begin(self, partitions: list[int], saved: Mapping[int, int | None]) -> None:
        earliest, latest = self._range(partitions)
        for partition in partitions:
            tp, offset = self._tp(partition), saved.get(partition)
            if offset is None and partition not in self._present_at_open:
                # Whatever kafka.start says: records sent to it before it was noticed must be read.
                start = Start(earliest[partition], "partition added")
            elif offset is None:
                start = Start(self._first_offset(partition, earliest, latest), self._settings.start)
            elif earliest[partition] <= offset <= latest[partition]:
                start = Start(offset, "saved state")
            else:
                raise self._out_of_range(partition, offset)
            self.starts[partition] = start
            log.info(
                "%s partition %d: begins at offset %d (%s)",
                self._settings.topic,
                partition,
                start.offset,
                start.chosen_by,
            )
            self._consumer.seek(tp, start.offset)
            if not self._paused:
                self._consumer.resume(tp)

    def _first_offset(self, partition: int, earliest: dict[int, int], latest: dict[int, int]) -> int:
        if self._start_time is not None:
            return self.offset_at(partition, self._start_time)
        return (earliest if self._settings.start == "earliest" else latest)[partition]

    def offset_at(self, partition: int, seconds: float) -> int:
        """The first offset with a broker timestamp at or after `seconds` (epoch), or the end."""
        tp = self._tp(partition)
        found = self._ask("offsets_for_times", {tp: max(0, int(seconds * 1000))})[tp]
        return int(found.offset) if found is not None else self._range([partition])[1][partition]

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        """The group's committed next offset of each partition, None where it never committed."""
        return {partition: self._ask("committed", self._tp(partition)) for partition in partitions}

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit next offsets. Call it after the state that they belong to is saved.

        Partitions that this member does not own are left out: their new owner commits them. False when
        the group is rebalancing: nothing is lost, the next commit covers it. Raises SourceError.
        """
        positions = {
            self._tp(partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
            if partition in self._owned
        }
        try:
            self._consumer.commit(positions, timeout_ms=_REQUEST_MS)
        except _NOT_NOW as error:
            log.info("commit put off, the group is rebalancing (%s)", type(error).__name__)
            return False
        except KafkaError as error:
            raise SourceError(explain(error, self._settings), topic=self._settings.topic) from error
        return True

    def pause(self) -> None:
        """Fetch nothing more until `resume`; `poll` then only keeps the membership alive."""
        self._paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        """Fetch again, from where each partition stopped."""
        self._paused = False
        self._consumer.resume(*(self._tp(partition) for partition in self._owned))

    def lag(self) -> dict[int, int]:
        """Records between the next one to be returned and the end, of each owned partition."""
        _, latest = self._range(sorted(self._owned))
        positions = {p: self._ask("position", self._tp(p)) for p in self._owned}
        return {p: max(0, latest[p] - position) for p, position in positions.items() if position is not None}

    def close(self) -> None:
        """Leave the group and release the connection. What is not committed stays so."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=_REQUEST_MS)
            self._consumer = None
            self._assigned, self._owned = set(), set()

    def _tp(self, partition: int) -> Any:
        return TopicPartition(self._settings.topic, partition)

    def _range(self, partitions: Collection[int]) -> tuple[dict[int, int], dict[int, int]]:
        """First offset held and next offset to be written, of each partition."""
        tps = [self._tp(partition) for partition in partitions]
        if not tps:
            return {}, {}
        earliest, latest = self._ask("beginning_offsets", tps), self._ask("end_offsets", tps)
        return {tp.partition: earliest[tp] for tp in tps}, {tp.partition: latest[tp] for tp in tps}

    def _ask(self, question: str, about: Any) -> Any:
        try:
            return getattr(self._consumer, question)(about, timeout_ms=_REQUEST_MS)
        except KafkaError as error:
            raise SourceError(explain(error, self._settings), topic=self._settings.topic) from error

    def _out_of_range(self, partition: int, offset: int) -> SourceError:
        earliest, latest = self._range([partition])
        first, end = earliest[partition], latest[partition]
        if offset < first:
            what = f"records {offset} to {first - 1} were deleted by retention before they were read"
        else:
            what = "the topic ends before that offset: it was recreated or lost records"
        return SourceError(
            f"offset {offset} is not in the topic, which holds {first} to {end} (exclusive): {what}. "
            f"Delete the saved state of this partition to begin at kafka.start ({self._settings.start})",
            topic=self._settings.topic,
            partition=partition,
            offset=offset,
        )
