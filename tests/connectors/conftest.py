"""Fixtures of tests that read a topic, each with both clients, and that write to Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from connectors.elasticsearch import ElasticsearchSink
from connectors.kafka_source import make_source
from detector.config import Elasticsearch, Kafka
from tests.conftest import TopicFactory
from tests.connectors.elasticsearch_alerts import NOW, Open
from tests.connectors.members import Client, Join, Member, make_settings
from tests.servers.kafka import KafkaServer


@pytest.fixture
def join() -> Iterator[Join]:
    """`join(settings, saved={partition: next offset})` opens a source that is closed after the test."""
    members: list[Member] = []

    def make(
        settings: Kafka,
        saved: Mapping[int, int] | None = None,
        metadata_seconds: float = 60.0,
        instance_id: str = "",
    ) -> Member:
        def on_assigned(partitions: list[int]) -> dict[int, int | None]:
            member.assigned.append(partitions)
            return {partition: (saved or {}).get(partition) for partition in partitions}

        def on_revoked(partitions: list[int]) -> None:
            member.revoked.append(partitions)
            member.source.commit(dict.fromkeys(partitions, 3))

        source = make_source(
            settings,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
            metadata_seconds=metadata_seconds,
            instance_id=instance_id,
        )
        member = Member(source)
        members.append(member)
        member.source.open()
        return member

    yield make
    for member in members:
        member.source.close()


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> Client:
    """Every test that reads a topic runs with both clients."""
    chosen: Client = request.param
    return chosen


@pytest.fixture
def settings(kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client) -> Kafka:
    return make_settings(kafka_server, kafka_topic(), client)


@pytest.fixture
def opened() -> Iterator[Open]:
    """`opened(url, namespace, **options)` opens a sink that is closed after the test."""
    sinks: list[ElasticsearchSink] = []

    def make(url: str, namespace: str = "default", **options: Any) -> ElasticsearchSink:
        settings = Elasticsearch(hosts=(url,), namespace=namespace, timeout_seconds=10)
        sink = ElasticsearchSink(settings, now=lambda: NOW, **options)
        sinks.append(sink)
        sink.open()
        return sink

    yield make
    for sink in sinks:
        sink.close()
