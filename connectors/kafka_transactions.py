"""Records into a topic together with the offsets of where they came from, as one Kafka transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata

from connectors.kafka_connection import REQUEST_SECONDS, KafkaSettings, connect, explain, missing_topic
from detector.errors import Fenced, InfrastructureError, SinkNotReady, SinkUnavailable, SourceError

HEADER = "querywatch-rekeyed-from"
"""Header of each record written: TOPIC/PARTITION/OFFSET where it came from."""

_LARGEST_BYTES = 64 * 1024 * 1024
_FENCED = (ProducerFencedError, InvalidProducerEpochError)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class TransactionalWriter:
    """Writes to `settings.topic` what was read from the topic `source`, with its offsets for `group`.

    Whoever opens one for the same topics ends the transaction that a process before it left open, and shuts
    that process out if it still runs. After any exception but SinkNotReady: `close`, then `open` again.
    """

    def __init__(self, settings: KafkaSettings, source: str, group: str) -> None:
        self._settings, self._source, self._group = settings, source, group
        self._id = f"{group}.from.{source}"
        self._where = f"topic {settings.topic}"
        self._producer: Any = None
        self._partitions = 0

    def open(self) -> None:
        """Connect, and shut out the process before. Raises SinkUnavailable, SinkNotReady."""
        topic = self._settings.topic
        try:
            self._producer = connect(
                KafkaProducer,
                self._settings,
                transactional_id=self._id,
                acks="all",
                compression_type="zstd",
                linger_ms=20,
                batch_size=256 * 1024,
                max_request_size=_LARGEST_BYTES,
                max_block_ms=int(REQUEST_SECONDS * 1000),
                allow_auto_create_topics=False,
            )
        except SourceError as error:
            raise SinkUnavailable(self._where, str(error)) from error
        try:
            self._partitions = len(self._producer.partitions_for(topic) or ())
        except KafkaTimeoutError as error:
            # The client waits for a topic that is not there until the time is over.
            raise SinkNotReady(self._where, missing_topic(topic, self._settings)) from error
        try:
            self._producer.init_transactions()
        except KafkaError as error:
            raise self._problem(error) from error

    def write(self, records: Sequence[Any], keys: Sequence[bytes | None], offsets: Mapping[int, int]) -> None:
        """Write records of kafka-python under `keys`, and the next offset of each source partition.

        All of it or, after an exception, nothing. What has no key goes to a partition that its source
        partition chooses. Raises SinkUnavailable, SinkNotReady; Fenced when another process has taken over.
        """
        sent = []
        try:
            self._producer.begin_transaction()
            for record, key in zip(records, keys, strict=True):
                origin = f"{self._source}/{record.partition}/{record.offset}"
                # Kafka knows headers without a value; kafka-python reads them, but does not write them.
                headers = [(name, value or b"") for name, value in record.headers]
                sent.append(
                    self._producer.send(
                        self._settings.topic,
                        # Nor does it write a record with neither key nor value; it reads as an empty one.
                        value=record.value or b"",
                        key=key,
                        headers=[*headers, (HEADER, origin.encode())],
                        partition=record.partition % self._partitions if key is None else None,
                        timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
                    )
                )
            behind = {
                TopicPartition(self._source, partition): OffsetAndMetadata(offset, "", -1)
                for partition, offset in offsets.items()
            }
            self._producer.send_offsets_to_transaction(behind, self._group)
            self._producer.commit_transaction()
        except KafkaError as error:
            # What the transaction failed of is known to the record only.
            causes = [future.exception for future in sent if future.is_done and future.failed()]
            large = [cause for cause in causes if isinstance(cause, _TOO_LARGE)]
            raise self._problem(large[0] if large else error) from error

    def close(self) -> None:
        """Release the connection; a transaction that is open ends when the next process starts."""
        if self._producer is not None:
            self._producer.close(timeout=1.0)
            self._producer = None

    def _problem(self, error: BaseException) -> InfrastructureError:
        topic = self._settings.topic
        # Once refused, the client wraps what happened into an error without a type of its own.
        if any(isinstance(cause, _FENCED) for cause in (error, *error.args)):
            return Fenced(
                f"another process has begun to copy {self._source!r} to {topic!r}; one at a time does that, "
                f"so this one ends"
            )
        if isinstance(error, AuthorizationError):
            what = (
                f"this user may not do that ({type(error).__name__}); grant Write and Describe on topic "
                f"{topic!r} and on transactional id {self._id!r}, and Read on group {self._group!r}"
            )
            return SinkNotReady(self._where, what)
        if isinstance(error, _TOO_LARGE):
            return SinkNotReady(self._where, "it takes no record of that size; raise its max.message.bytes")
        if isinstance(error, UnknownTopicOrPartitionError):
            return SinkNotReady(self._where, missing_topic(topic, self._settings))
        return SinkUnavailable(self._where, explain(error, self._settings))
