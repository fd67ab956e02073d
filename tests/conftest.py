"""Fixtures that many tests share: the real servers, started when a test first asks, once a session."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import hypothesis
import pytest

from tests.groups import scheduler, turn_of
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer
from tests.servers.secured_elasticsearch import SecuredElasticsearchServer
from tests.servers.secured_kafka import SecuredKafkaServer


def pytest_configure() -> None:
    """Hear Ctrl-C, also where the tests were started in the background, with SIGINT ignored: tests send it to
    processes that they start, which would ignore it too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The first example of a property may have to compile a kernel: how long one takes says nothing.
    hypothesis.settings.register_profile("querywatch", deadline=None)
    hypothesis.settings.load_profile("querywatch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits longest."""
    items.sort(key=lambda item: turn_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run side by side, some stay together, in one process."""
    return scheduler(config, log)


class TopicFactory(Protocol):
    """Creates a topic with a unique name, and returns that name."""

    def __call__(self, partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        """`settings` are Kafka's topic settings, such as `retention.ms`."""


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer]:
    """A running broker, shared by all tests. `bootstrap` is its address."""
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[ElasticsearchServer]:
    """A running node, shared by all tests. `url` is its address."""
    with ElasticsearchServer() as server:
        yield server


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[SecuredKafkaServer]:
    """A running broker that wants TLS and a sign-in, shared by the tests of that."""
    with SecuredKafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def secured_elasticsearch() -> Iterator[SecuredElasticsearchServer]:
    """A running node that wants TLS and a sign-in, shared by the tests of that."""
    with SecuredElasticsearchServer() as server:
        yield server


@pytest.fixture
def kafka_topic(kafka_server: KafkaServer) -> TopicFactory:
    """`kafka_topic(partitions=1)` creates a topic of its own for the test and returns the name."""

    def create(partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        topic = f"test-{uuid.uuid4().hex}"
        kafka_server.create_topic(topic, partitions, settings)
        return topic

    return create


@pytest.fixture
def namespace() -> str:
    """A data stream namespace of the test's own; data streams cannot be deleted in this Elasticsearch."""
    return f"test_{uuid.uuid4().hex}"
