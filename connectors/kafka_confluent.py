"""The query log in a Kafka topic, read through confluent-kafka (librdkafka); needs the extra `confluent`."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from connectors.kafka_confluent_errors import explain
from connectors.kafka_confluent_group import Cooperative, Eager, Group
from connectors.kafka_confluent_options import client_options
from connectors.kafka_connection import (
    ASSIGNORS,
    BOOTSTRAP_SECONDS,
    HEARTBEAT_SECONDS,
    REQUEST_SECONDS,
    partitions_of,
)
from connectors.kafka_membership import leave
from connectors.kafka_partitions import TopicSource
from connectors.kafka_start import out_of_range, truncated
from detector.errors import Fenced, SourceError

log = logging.getLogger(__name__)

QUEUED_KBYTES = 16 * 1024
"""What the client fetches ahead: some batches. Its own 64 MiB are new pages of memory for each worker."""
BACKOFF_MS = 10
"""With so much fetched it looks again so soon. By itself it would wait a second, in which we take more than
that, and then wait for the broker."""
LEAVE_SECONDS = 2.0
"""A member that is not joining anew just then gives back and leaves within half a second, on a busy machine;
no more than this is waited for it."""

_NOT_NOW = {
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._ASSIGNMENT_LOST,
}
# Being fenced is the one fatal error of a static member.
_FENCED = {KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED, KafkaError._FATAL}
# The client mends these by itself; kafka-python does not tell of them either.
_PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    *_NOT_NOW,
}


class ConfluentSource(TopicSource):
    """A member of the group through confluent-kafka.

    The client forgets the position of what it keeps through an eager rebalance, hence `_next`.
    """

    _consumer: Consumer | None = None

    def open(self) -> None:
        # kafka-python looks first: what is wrong with the cluster is told in the same words by both sources.
        self._present_at_open = partitions_of(self._settings)
        self._next: dict[int, int] = {}
        self._problem: SourceError | Fenced | None = None
        group = Cooperative(self._events, self._let_go) if self._cooperative else Eager(self._events)
        self._group: Group = group
        options = client_options(self._settings) | {
            "group.id": self._settings.group_id,
            "partition.assignment.strategy": ",".join(ASSIGNORS[self._settings.rebalance]),
            "heartbeat.interval.ms": int(HEARTBEAT_SECONDS * 1000),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            # The only sign of how far reading came where a topic ends in markers of transactions.
            "enable.partition.eof": True,
            "check.crcs": True,
            "max.partition.fetch.bytes": self._fetch_bytes,
            "queued.max.messages.kbytes": QUEUED_KBYTES,
            "fetch.queue.backoff.ms": BACKOFF_MS,
            "topic.metadata.refresh.interval.ms": int(self._metadata_seconds * 1000),
            "error_cb": self._note_error,
            "log_level": 2,  # what is worth telling comes to `error_cb`
        }
        if self._instance_id:
            options["group.instance.id"] = self._instance_id
        consumer = None
        try:
            # Below "kafka", so that one logging setting quiets both clients.
            consumer = Consumer(options, logger=logging.getLogger("kafka.librdkafka"))
            consumer.list_topics(self._settings.topic, timeout=BOOTSTRAP_SECONDS)
            consumer.subscribe(
                [self._settings.topic],
                on_assign=group.on_assign,
                on_revoke=group.on_revoke,
                on_lost=group.on_lost,
            )
        except KafkaException as error:
            if consumer is not None:
                consumer.poll(0)  # lets `_note_error` hear of the cause
                consumer.close()
            raise self._problem or SourceError(explain(error.args[0], self._settings)) from error
        self._consumer = consumer

    def _fetch_ready(self, timeout_seconds: float, max_records: int) -> None:
        try:
            if not self._ready and self._problem is None:
                self._sort(self._consume(timeout_seconds, max_records))
            self._group.raise_kept()
            self._follow_group()
            owned = [self._tp(partition, self._next[partition]) for partition in sorted(self._owned)]
            self._group.fetch(self._client, owned, paused=self._paused)
        except KafkaException as error:
            raise self._failed(error.args[0]) from error
        if self._problem is not None and not self._ready:
            problem, self._problem = self._problem, None
            raise problem

    def _consume(self, timeout_seconds: float, max_records: int) -> list[Message]:
        # All at once would wait until there are as many, or the time is over.
        messages = self._client.consume(1, timeout_seconds)
        if messages and max_records > 1:
            messages += self._client.consume(max_records - 1, 0)
        return messages

    def _sort(self, messages: list[Message]) -> None:
        by_partition: dict[int, list[Message]] = {}
        failed: list[tuple[Message, KafkaError]] = []
        for message in messages:
            error = message.error()
            if error is None:
                by_partition.setdefault(message.partition() or 0, []).append(message)
            else:
                failed.append((message, error))
        for partition, group in sorted(by_partition.items()):
            stamps = [message.timestamp() for message in group]
            offsets = [message.offset() or 0 for message in group]
            values = [message.value() or b"" for message in group]
            times = [time for kind, time in stamps if kind != TIMESTAMP_NOT_AVAILABLE and time > 0]
            self._ready.append(self._batch(partition, values, offsets, times))
            self._advance(partition, offsets[-1] + 1)
        for message, error in failed:
            self._note_failed(message.partition() or 0, message.offset() or 0, error)

    def _advance(self, partition: int, offset: int) -> None:
        self._next[partition] = max(offset, self._next.get(partition, 0))

    def _note_failed(self, partition: int, offset: int, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._advance(partition, offset)
            return
        if partition not in self._next or error.code() in _PASSING:
            self._note_error(error)
            return
        # Asked again from there it fails again.
        self._group.failed(partition)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._problem = out_of_range(
                self._settings.topic, partition, self._next[partition], self.held(partition)
            )
        elif error.code() == KafkaError._LOG_TRUNCATION:
            self._problem = truncated(self._settings.topic, partition, self._next[partition])
        else:
            self._note_error(error)

    def _note_error(self, error: KafkaError) -> None:
        if error.code() in _PASSING and not error.fatal():
            # Each attempt to connect again fails in its own words, many a second; these two say it once.
            once = error.code() in {KafkaError._ALL_BROKERS_DOWN, KafkaError._MAX_POLL_EXCEEDED}
            log.log(logging.WARNING if once else logging.DEBUG, "%s", explain(error, self._settings))
        else:
            self._problem = self._failed(error)

    def _continue_at(self, partition: int, offset: int) -> None:
        self._next[partition] = offset

    def offset_at(self, partition: int, seconds: float) -> int:
        tps = [self._tp(partition, max(0, int(seconds * 1000)))]
        found = self._answers(self._ask("offsets_for_times", tps))[partition]
        return found if found >= 0 else self._range([partition])[1][partition]

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        if not partitions:
            return {}
        found = self._answers(self._ask("committed", [self._tp(partition) for partition in partitions]))
        return {
            partition: None if offset == OFFSET_INVALID else offset for partition, offset in found.items()
        }

    def commit(self, offsets: Mapping[int, int]) -> bool:
        positions = [self._tp(p, offset) for p, offset in offsets.items() if p in self._owned]
        if not positions:
            return True
        # A commit takes no timeout and waits 45 s for a broker that is gone; this question takes one.
        self._ask("committed", positions)
        try:
            done = self._client.commit(offsets=positions, asynchronous=False)
            errors = [tp.error for tp in done or [] if tp.error is not None]
        except KafkaException as error:
            errors = [error.args[0]]
        refused = [error for error in errors if error.code() not in _NOT_NOW]
        if refused:
            raise self._failed(refused[0])
        if errors:
            log.info("commit put off, the group is rebalancing (%s)", errors[0].name())
        return not errors

    def pause(self) -> None:
        self._paused = True
        if self._consumer is not None:
            self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        self._paused = False
        if self._consumer is not None:
            self._consumer.resume(self._consumer.assignment())

    def lag(self) -> dict[int, int]:
        _, latest = self._range(sorted(self._owned))
        return {partition: max(0, end - self._next[partition]) for partition, end in latest.items()}

    def close(self) -> None:
        if self._consumer is not None:
            # The client says now that all is revoked; whoever closes has let go of it.
            self._owned, self._offered = set(), set()
            self._leave_group(self._consumer)
            # A static member that has left by now has none.
            member = self._consumer.memberid() if self._instance_id else None
            self._consumer.close()
            self._consumer = None
            if member:
                leave(self._settings, member, self._instance_id)
        self._forget_group()

    def _leave_group(self, consumer: Consumer) -> None:
        # What a rebalance takes is given back here. Given back while the client is being closed it may wait
        # for ever for its own thread, holding Python's lock (librdkafka issue 4884, seen with 2.16.0).
        deadline = time.monotonic() + LEAVE_SECONDS
        with suppress(KafkaException):
            if not self._group.holds():
                consumer.consume(1, 0)  # by now it may be told of some
            if not self._group.holds():
                return
            consumer.unsubscribe()
            # It is no member any more once it has told the group so; closed before, it would not tell it.
            while (self._group.holds() or consumer.memberid()) and time.monotonic() < deadline:
                consumer.consume(1, 0.05)

    @property
    def _client(self) -> Consumer:
        assert self._consumer is not None, "open() comes first"  # noqa: S101
        return self._consumer

    def _tp(self, partition: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        return TopicPartition(self._settings.topic, partition, offset)

    def _range(self, partitions: Collection[int]) -> tuple[dict[int, int], dict[int, int]]:
        found = {p: self._ask("get_watermark_offsets", self._tp(p)) for p in partitions}
        return {p: first for p, (first, _) in found.items()}, {p: end for p, (_, end) in found.items()}

    def _ask(self, question: str, about: Any) -> Any:
        try:
            answer = getattr(self._client, question)(about, timeout=REQUEST_SECONDS)
            if answer is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        except KafkaException as error:
            raise self._failed(error.args[0]) from error
        return answer

    def _answers(self, tps: list[TopicPartition]) -> dict[int, int]:
        for tp in tps:
            if tp.error is not None:
                raise self._failed(tp.error)
        return {tp.partition: tp.offset for tp in tps}

    def _failed(self, error: KafkaError) -> SourceError | Fenced:
        if self._instance_id and error.code() in _FENCED:
            return self._fenced()
        return SourceError(explain(error, self._settings), topic=self._settings.topic)
