"""A partition that goes to another worker is saved by the one and read on by the other, on a real Kafka."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from connectors.kafka_partitions import TopicSource
from connectors.kafka_source import make_source
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink
from detector import profile as profiles
from detector import shard_state
from detector.config import Config, Kafka, State
from detector.edge import make_decoder, settings_of
from detector.outputs import Outputs
from detector.service import Service
from detector.state_store import StateStore
from tests import traffic
from tests.conftest import TopicFactory
from tests.connectors.members import Client, Rebalance
from tests.deployment import produce
from tests.detector.conftest import Querywatch
from tests.servers.kafka import KafkaServer

pytestmark = pytest.mark.servers

PATIENCE_SECONDS = 60.0


class Worker:
    """A service with a source of the real topic, on a thread of its own."""

    def __init__(self, folder: Path, kafka: Kafka, profile: Path, sink: MemoryAlertSink) -> None:
        # Nothing is saved before the end, unless a partition is handed over.
        config = Config(kafka=kafka, state=State(directory=str(folder), save_seconds=1e9))
        store = StateStore(folder, kafka.topic, shard_state.VERSION)
        store.open()
        self.service = Service(
            config,
            settings_of(config, learn=False),
            profiles.load(profile),
            make_decoder(config),
            Outputs([sink], [MemoryDeadLetterSink()]),
            store,
        )
        self.source: TopicSource = make_source(
            kafka, on_assigned=self.service.assigned, on_revoked=self.service.revoked
        )
        self.source.open()
        self._thread = threading.Thread(target=self.service.run, args=(self.source,))
        self._thread.start()

    def close(self) -> None:
        self.service.stop.set()
        self._thread.join(timeout=PATIENCE_SECONDS)
        self.source.close()


@pytest.mark.parametrize(
    ("client", "rebalance"),
    [("kafka-python", "cooperative"), ("confluent", "cooperative"), ("kafka-python", "eager")],
)
def test_a_partition_that_changes_hands_is_saved_and_read_on_by_the_other(
    tmp_path: Path,
    kafka_server: KafkaServer,
    kafka_topic: TopicFactory,
    toy_profile: Path,
    querywatch: Querywatch,
    client: Client,
    rebalance: Rebalance,
) -> None:
    queries = traffic.mixed(*traffic.apart(range(3, 11)))
    half = len(queries) // 2
    kafka = Kafka(
        bootstrap_servers=(kafka_server.bootstrap,),
        topic=kafka_topic(partitions=2),
        group_id=f"group-{tmp_path.name}",
        client=client,
        rebalance=rebalance,
    )
    sink = MemoryAlertSink()
    produce(kafka_server, kafka.topic, queries[:half])
    first = Worker(tmp_path / "state", kafka, toy_profile, sink)
    try:
        _wait(lambda: first.service.account.queries == half)
        second = Worker(tmp_path / "state", kafka, toy_profile, sink)
        try:
            _wait(lambda: len(first.service.shards) == len(second.service.shards) == 1)
            (moved,) = second.service.shards
            on_the_way_out = second.service.shards[moved].next_offset if rebalance == "cooperative" else None
            assert _committed(kafka, moved) == on_the_way_out
            produce(kafka_server, kafka.topic, queries[half:])
            _wait(lambda: first.service.account.queries + second.service.account.queries == len(queries))
            assert 0 < second.service.account.queries < len(queries) - half, "read on, not again"
        finally:
            second.close()
    finally:
        first.close()
    traffic.write(tmp_path / "log.ndjson", queries)
    replay = ["replay", "log.ndjson", "--profile", toy_profile, "--frozen", "--alerts", "out.ndjson"]
    assert querywatch(*replay).exit_code == 0
    lines = (tmp_path / "out.ndjson").read_bytes().splitlines()
    expected = sorted(json.loads(line)["_id"] for line in lines)
    assert sorted(alert.id for alert in sink.alerts) == expected
    assert len(expected) >= 8


def _committed(kafka: Kafka, partition: int) -> int | None:
    consumer = KafkaConsumer(bootstrap_servers=list(kafka.bootstrap_servers), group_id=kafka.group_id)
    try:
        offset: int | None = consumer.committed(TopicPartition(kafka.topic, partition))
        return offset
    finally:
        consumer.close()


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
