"""Members of consumer groups for tests: a source, and what it was told and read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from kafka import KafkaProducer

from connectors.kafka_partitions import TopicSource
from detector.config import Kafka
from tests.servers.kafka import KafkaServer

PATIENCE_SECONDS = 40.0

Client = Literal["kafka-python", "confluent"]
Rebalance = Literal["cooperative", "eager"]


@dataclass
class Member:
    """A source with what it was told and what it read, by partition; what is revoked it commits at 3."""

    source: TopicSource
    assigned: list[list[int]] = field(default_factory=list)
    revoked: list[list[int]] = field(default_factory=list)
    read: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)

    def poll(self, seconds: float = 0.2) -> None:
        for batch in self.source.poll(seconds, 1000):
            rows = zip(batch.offsets, batch.values, strict=True)
            self.read.setdefault(batch.partition, []).extend(rows)

    def count(self) -> int:
        return sum(len(rows) for rows in self.read.values())

    def owned(self) -> list[int]:
        """Partitions assigned once more than revoked: it may have had all before the others came."""
        given = Counter(chain.from_iterable(self.assigned))
        given.subtract(chain.from_iterable(self.revoked))
        return sorted(partition for partition, times in given.items() if times > 0)


Join = Callable[..., Member]
"""`join(settings, saved={partition: next offset})` opens a source that is closed after the test."""


def make_settings(
    server: KafkaServer,
    topic: str,
    client: Client = "kafka-python",
    *,
    start: str = "earliest",
    dead_letter_topic: str = "",
    rebalance: Rebalance = "cooperative",
) -> Kafka:
    return Kafka(
        client=client,
        rebalance=rebalance,
        bootstrap_servers=(server.bootstrap,),
        topic=topic,
        group_id=f"group-{topic}",
        start=start,
        dead_letter_topic=dead_letter_topic,
    )


def produce(
    settings: Kafka,
    values: Sequence[bytes | None],
    *,
    partition: int = 0,
    codec: str | None = None,
    first_ms: int | None = None,
) -> None:
    producer = KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers), compression_type=codec)
    try:
        for i, value in enumerate(values):
            stamp = None if first_ms is None else first_ms + i * 1000
            producer.send(settings.topic, value, key=b"k", partition=partition, timestamp_ms=stamp)
        producer.flush(timeout=30)
    finally:
        producer.close()


def until(condition: Callable[[], bool], *members: Member, seconds: float = 0.2) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, [(m.assigned, m.revoked, m.count()) for m in members]
        for member in members:
            member.poll(seconds)
