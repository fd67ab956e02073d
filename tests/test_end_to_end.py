"""The main job through a real Kafka and a real Elasticsearch, with the service as a process of its own."""

from __future__ import annotations

import json
import signal
import time
import uuid
from pathlib import Path

import pytest

from tests import traffic
from tests.conftest import TopicFactory
from tests.deployment import (
    FROZEN,
    Deployment,
    fit_toy,
    produce,
    querywatch,
    replay_frozen,
    replayed,
    running,
)
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def test_with_a_frozen_profile_run_gives_what_replay_gives(
    tmp_path: Path,
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    kafka_topic: TopicFactory,
    namespace: str,
) -> None:
    queries = traffic.mixed(
        traffic.benign(60, seed=2),
        traffic.inversion(seed=3),
        traffic.inversion(seed=5, at=traffic.START + 50),
    )
    traffic.write(tmp_path / "log.ndjson", queries)
    fit_toy(tmp_path)
    topic = kafka_topic(partitions=3)
    produce(kafka_server, topic, queries)
    deployment = Deployment(tmp_path, kafka_server, elasticsearch_server, topic, namespace, FROZEN)
    checked = querywatch(tmp_path, "check", "--config", deployment.config)
    assert "FAILED" not in checked
    assert "3 partitions" in checked

    deployment.run()
    expected = replay_frozen(tmp_path, namespace)
    assert {d["user"]["id"] for d in expected["alert"].values()} == {"attacker-3", "attacker-5"}
    first = {kind: deployment.found(kind) for kind in ("alert", "event")}
    assert first == expected

    deployment.run()
    assert {kind: deployment.found(kind) for kind in ("alert", "event")} == expected

    (tmp_path / "querywatch-state").rename(tmp_path / "gone")
    deployment.configure("another-" + uuid.uuid4().hex)
    deployment.run()
    assert {kind: deployment.found(kind) for kind in ("alert", "event")} == expected
    deployment.client.close()


def test_learning_on_one_partition_gives_what_replay_gives(
    tmp_path: Path,
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    kafka_topic: TopicFactory,
    namespace: str,
) -> None:
    queries = traffic.mixed(traffic.benign(600, seed=2), traffic.inversion(seed=3, at=traffic.START + 2900.0))
    traffic.write(tmp_path / "log.ndjson", queries)
    querywatch(tmp_path, "replay", "log.ndjson", "--one-pass", "--alerts", "out.ndjson")
    expected = replayed(tmp_path / "out.ndjson", namespace)
    assert "attacker-3" in {d["user"]["id"] for d in expected["alert"].values()}
    topic = kafka_topic(partitions=1)
    produce(kafka_server, topic, queries)
    deployment = Deployment(tmp_path, kafka_server, elasticsearch_server, topic, namespace, "learn = true")
    deployment.run()
    assert {kind: deployment.found(kind) for kind in ("alert", "event")} == expected
    deployment.client.close()


def test_a_signal_ends_the_service_and_it_goes_on_where_it_stopped(
    tmp_path: Path,
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    kafka_topic: TopicFactory,
    namespace: str,
) -> None:
    fit_toy(tmp_path)
    topic = kafka_topic(partitions=1)
    queries = traffic.inversion(seed=3)
    produce(kafka_server, topic, queries[:20])
    deployment = Deployment(tmp_path, kafka_server, elasticsearch_server, topic, namespace, FROZEN)
    with running(tmp_path, deployment.config) as process:
        state = tmp_path / "querywatch-state" / f"{topic}-0.state"
        until = time.monotonic() + 120
        while not state.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        assert state.exists(), (tmp_path / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    events = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    said = {event["event"]: event for event in events}
    assert said["starting"]["profiles"]["toy"].startswith("1-")
    assert said["stopped"]["queries"] == 20
    assert events[-1] == said["stopped"]

    produce(kafka_server, topic, queries[20:])
    deployment.run()
    traffic.write(tmp_path / "log.ndjson", queries)
    expected = replay_frozen(tmp_path, namespace)
    assert {kind: deployment.found(kind) for kind in ("alert", "event")} == expected
    assert expected["alert"]
    deployment.client.close()
