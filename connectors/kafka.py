"""The query log in a Kafka topic, read through kafka-python.

Partitions come and go with the consumer group. The caller says where each begins (the next offset of
its saved state); the group's committed offsets follow the saved state and serve lag monitoring.
Nothing ever jumps: an offset that the topic no longer holds is a SourceError, not a silent reset.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import MemberState, OffsetAndMetadata
from kafka.util import Timer

from connectors.kafka_check import check
from connectors.kafka_connection import (
    HEARTBEAT_SECONDS,
    REQUEST_SECONDS,
    KafkaSettings,
    connect,
    explain,
    missing_topic,
)
from connectors.kafka_dead_letters import KafkaDeadLetterSink
from connectors.kafka_group import Rebalances, keep_attempt
from connectors.kafka_membership import leave
from connectors.kafka_partitions import TopicSource
from connectors.kafka_start import out_of_range, truncated
from detector.errors import SourceError
from detector.query import RawBatch

__all__ = ["KafkaDeadLetterSink", "KafkaSettings", "KafkaSource", "check"]

log = logging.getLogger(__name__)

_REQUEST_MS = int(REQUEST_SECONDS * 1000)
_LEAVE_MS = 3000
"""A broker in the middle of a rebalance answers no request to leave; a stop must not wait for that."""
_NOT_NOW = (RebalanceInProgressError, CommitFailedError, IllegalGenerationError, UnknownMemberIdError)


_TURN_MS = 20
"""While a member rejoins: how long it waits for the group, then for records, in turn."""


def _turn(timer: Timer) -> Timer:
    return Timer(min(_TURN_MS, timer.timeout_ms))


class KafkaSource(TopicSource):
    """A member of the group through kafka-python."""

    _consumer: Any = None

    def open(self) -> None:
        group = Rebalances(self._events, cooperative=self._cooperative)
        consumer = connect(
            KafkaConsumer,
            self._settings,
            group_id=self._settings.group_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=self._fetch_bytes,
            metadata_max_age_ms=int(self._metadata_seconds * 1000),
            heartbeat_interval_ms=int(HEARTBEAT_SECONDS * 1000),
            group_instance_id=self._instance_id or None,
            partition_assignment_strategy=group.assignors,
        )
        try:
            self._present_at_open = set(consumer.partitions_for_topic(self._settings.topic))
            if not self._present_at_open:
                raise SourceError(missing_topic(self._settings.topic, self._settings))
            group.listen(consumer, self._settings.topic)
        except KafkaError as error:
            consumer.close()
            raise SourceError(explain(error, self._settings)) from error
        except SourceError:
            consumer.close()
            raise
        self._consumer = consumer

    def _fetch_ready(self, timeout_seconds: float, max_records: int) -> None:
        try:
            polled = self._polled(Timer(int(timeout_seconds * 1000)), max_records)
        except OffsetOutOfRangeError as error:
            self._follow_group()
            tp, offset = next(iter(error.args[0].items()))
            raise out_of_range(tp.topic, tp.partition, offset, self.held(tp.partition)) from error
        except LogTruncationError as error:
            tp = next(iter(error.divergent_offsets))
            raise truncated(tp.topic, tp.partition, self._consumer.position(tp) or -1) from error
        except FencedInstanceIdError as error:
            raise self._fenced() from error
        except (KafkaError, NotImplementedError) as error:
            raise SourceError(explain(error, self._settings), topic=self._settings.topic) from error
        self._ready += [self._batch_of(tp, polled[tp]) for tp in sorted(polled)]
        self._finish_rebalance()
        self._follow_group()

    def _polled(self, timer: Timer, max_records: int) -> Any:
        """Records by partition; none when the time is over or the group did something.

        `KafkaConsumer.poll` of kafka-python 3.0.12 gives nothing of what a member keeps while it rejoins, and
        rejoins at once after a revocation, before the caller has let go.
        """
        consumer = self._consumer
        coordinator = consumer._coordinator
        while True:
            keep_attempt(coordinator)
            rejoining = coordinator.need_rejoin() or coordinator.rejoining
            if rejoining and self._cooperative and self._owned and not self._paused:
                polled = consumer._poll_once(_turn(timer), max_records)
                if not polled and self._events.empty():
                    wait = _turn(timer).timeout_ms
                    polled, _ = consumer._fetcher.fetch_records(max_records, timeout_ms=wait)
            else:
                polled = consumer._poll_once(timer, max_records)
            if polled or timer.expired or not self._events.empty():
                return polled

    def _finish_rebalance(self) -> None:
        # kafka-python 3.0.12 forgets a rejoin over new partitions that one poll was too short for: it then
        # neither fetches nor heartbeats, without an error. Asked for again, the next poll completes it.
        coordinator = self._consumer._coordinator
        if self._consumer.group_metadata().state != MemberState.STABLE:
            coordinator.request_rejoin()
            return
        # And a member that was fenced only stops its heartbeats, and goes on reading.
        with coordinator._lock:
            silent = not (
                coordinator.need_rejoin() or coordinator.rejoining or coordinator._heartbeat_enabled
            )
        if silent and self._instance_id:
            raise self._fenced()

    def _batch_of(self, tp: Any, records: list[Any]) -> RawBatch:
        return self._batch(
            tp.partition,
            values=[record.value or b"" for record in records],
            offsets=[record.offset for record in records],
            stamps=[record.timestamp for record in records if record.timestamp and record.timestamp > 0],
        )

    def _continue_at(self, partition: int, offset: int) -> None:
        tp = self._tp(partition)
        self._consumer.seek(tp, offset)
        if not self._paused:
            self._let_go_on([tp])

    def _let_go_on(self, tps: list[Any]) -> None:
        # kafka-python 3.0.12 sets records aside that it holds of a paused partition. Where it has turned to
        # another partition meanwhile it never takes them up again, and fetches no others. Without them it
        # fetches from the position.
        for tp in tps:
            self._consumer._fetcher._paused_partition_records.pop(tp, None)
            self._consumer.resume(tp)

    def offset_at(self, partition: int, seconds: float) -> int:
        tp = self._tp(partition)
        found = self._ask("offsets_for_times", {tp: max(0, int(seconds * 1000))})[tp]
        return int(found.offset) if found is not None else self._range([partition])[1][partition]

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        return {partition: self._ask("committed", self._tp(partition)) for partition in partitions}

    def commit(self, offsets: Mapping[int, int]) -> bool:
        positions = {
            self._tp(partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
            if partition in self._owned
        }
        if not positions:
            return True
        try:
            self._consumer.commit(positions, timeout_ms=_REQUEST_MS)
        except _NOT_NOW as error:
            log.info("commit put off, the group is rebalancing (%s)", type(error).__name__)
            return False
        except FencedInstanceIdError as error:
            raise self._fenced() from error
        except KafkaError as error:
            raise SourceError(explain(error, self._settings), topic=self._settings.topic) from error
        return True

    def pause(self) -> None:
        self._paused = True
        if self._consumer is not None:
            self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        self._let_go_on([self._tp(partition) for partition in self._owned])

    def lag(self) -> dict[int, int]:
        owned = {p: self._tp(p) for p in sorted(self._owned)}
        latest = self._ask("end_offsets", list(owned.values())) if owned else {}
        positions = {p: self._ask("position", tp) for p, tp in owned.items()}
        return {p: max(0, latest[owned[p]] - at) for p, at in positions.items() if at is not None}

    def close(self) -> None:
        if self._consumer is not None:
            member = self._consumer.group_metadata().member_id if self._instance_id else ""
            self._consumer.close(autocommit=False, timeout_ms=_LEAVE_MS)
            self._consumer = None
            if member:
                leave(self._settings, member, self._instance_id)
        self._forget_group()

    def _tp(self, partition: int) -> Any:
        return TopicPartition(self._settings.topic, partition)

    def _range(self, partitions: Collection[int]) -> tuple[dict[int, int], dict[int, int]]:
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
