"""Dead letters into a Kafka topic and back: the record whole as the value, reason and position as headers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
)

from connectors.kafka_connection import REQUEST_SECONDS, KafkaSettings, connect, explain, missing_topic
from detector.errors import SinkError, SinkNotReady, SinkUnavailable, SourceError
from detector.query import DeadLetter

_DELIVERY_SECONDS = 30.0
_HEADER_BYTES = 4096
_MAX_REQUEST_BYTES = 64 * 1024 * 1024
_POLL_SECONDS, _PATIENCE_SECONDS = 0.5, 60.0
"""Of one poll, and how long a broker may give nothing before reading is given up."""
_AT_ONCE = 500


class KafkaDeadLetterSink:
    """Writes to `kafka.dead_letter_topic`, acknowledged by all in-sync replicas before it returns.

    Headers (UTF-8): reason, detail, source, partition, offset. One input partition keeps its order.
    """

    name = "kafka dead letters"

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Any = None

    def open(self) -> None:
        """Connect. Raises SinkUnavailable when no broker answers, SinkNotReady when the topic is missing."""
        try:
            producer = connect(
                KafkaProducer,
                self._settings,
                acks="all",
                compression_type="gzip",
                # Our own limit must not refuse what the broker would take.
                max_request_size=_MAX_REQUEST_BYTES,
                max_block_ms=5_000,
                request_timeout_ms=10_000,
                delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
                allow_auto_create_topics=False,
            )
        except SourceError as error:
            state = SinkNotReady if _needs_a_person(error.__cause__) else SinkUnavailable
            raise state(self.name, str(error)) from error
        try:
            producer.partitions_for(self._settings.dead_letter_topic)
        except KafkaError as error:
            producer.close()
            topic = self._settings.dead_letter_topic
            raise SinkNotReady(self.name, missing_topic(topic, self._settings)) from error
        self._producer = producer

    def write_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Store all, in order, before returning; a failed write may be repeated and then stores some twice.

        Raises SinkUnavailable, SinkNotReady, or SinkError for a letter larger than the broker takes.
        """
        try:
            sent = [(letter, self._send(letter)) for letter in letters]
            self._producer.flush(timeout=_DELIVERY_SECONDS)
            for letter, future in sent:
                self._confirm(letter, future)
        except KafkaError as error:
            state = SinkNotReady if _needs_a_person(error) else SinkUnavailable
            raise state(self.name, explain(error, self._settings)) from error

    def _send(self, letter: DeadLetter) -> Any:
        return self._producer.send(
            self._settings.dead_letter_topic,
            value=letter.raw,
            key=f"{letter.source}/{letter.partition}".encode(),
            headers=[
                ("reason", letter.reason.encode()),
                ("detail", letter.detail.encode(errors="replace")[:_HEADER_BYTES]),
                ("source", letter.source.encode()),
                ("partition", str(letter.partition).encode()),
                ("offset", str(letter.offset).encode()),
            ],
        )

    def _confirm(self, letter: DeadLetter, future: Any) -> None:
        try:
            future.get(timeout=_DELIVERY_SECONDS)
        except MessageSizeTooLargeError as error:
            raise SinkError(
                self.name,
                f"the dead letter of {letter.source}, partition {letter.partition}, offset {letter.offset} "
                f"has {len(letter.raw)} bytes, more than topic {self._settings.dead_letter_topic!r} takes; "
                f"raise its max.message.bytes",
            ) from error

    def close(self) -> None:
        """Release the connection."""
        if self._producer is not None:
            self._producer.close(timeout=_DELIVERY_SECONDS)
            self._producer = None


def read_dead_letters(settings: KafkaSettings) -> Iterator[list[DeadLetter]]:
    """What `settings.topic` holds from its first record to the end that it has now, some at a time.

    A record without the headers of a dead letter comes with an empty reason. Nothing is committed. Raises
    SourceError.
    """
    consumer = connect(
        KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        allow_auto_create_topics=False,
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    try:
        partitions = consumer.partitions_for_topic(settings.topic)
        if not partitions:
            raise SourceError(missing_topic(settings.topic, settings))
        consumer.assign([TopicPartition(settings.topic, partition) for partition in sorted(partitions)])
        consumer.seek_to_beginning()
        yield from _until_the_end(consumer, settings)
    except KafkaError as error:
        raise SourceError(explain(error, settings), topic=settings.topic) from error
    finally:
        consumer.close()


def _until_the_end(consumer: Any, settings: KafkaSettings) -> Iterator[list[DeadLetter]]:
    request_ms = int(REQUEST_SECONDS * 1000)
    ends = consumer.end_offsets(consumer.assignment(), timeout_ms=request_ms)
    last = time.monotonic()
    # The position, since the last offsets may be markers of transactions, which are never returned.
    while any((consumer.position(tp, timeout_ms=request_ms) or 0) < end for tp, end in ends.items()):
        polled = consumer.poll(timeout_ms=int(_POLL_SECONDS * 1000), max_records=_AT_ONCE)
        if polled:
            last = time.monotonic()
            yield [_letter(record) for tp in sorted(polled) for record in polled[tp]]
        elif time.monotonic() - last > _PATIENCE_SECONDS:
            problem = f"the broker gives no records of {settings.topic!r} any more"
            raise SourceError(problem, topic=settings.topic)


def _letter(record: Any) -> DeadLetter:
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers or ()}

    def number(name: str) -> int:
        digits = headers.get(name, "")
        return int(digits) if digits.removeprefix("-").isdecimal() and len(digits) < 20 else -1

    return DeadLetter(
        reason=headers.get("reason", ""),
        detail=headers.get("detail", ""),
        raw=record.value or b"",
        source=headers.get("source", ""),
        partition=number("partition"),
        offset=number("offset"),
    )


def _needs_a_person(error: BaseException | None) -> bool:
    return isinstance(
        error, AuthorizationError | SaslAuthenticationFailedError | UnknownTopicOrPartitionError
    )
