"""The main job through a real Kafka and a real Elasticsearch, with the service as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from kafka import KafkaProducer

from tests import traffic
from tests.conftest import TopicFactory
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parent.parent


def querywatch(folder: Path, *arguments: object, expect: int = 0) -> str:
    """Run the command in `folder`; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "detector", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def produce(server: KafkaServer, topic: str, queries: Iterable[dict[str, Any]]) -> None:
    """One record a query, each client on a partition of its own choosing, in order."""
    producer = KafkaProducer(bootstrap_servers=server.bootstrap, acks="all")
    for query, line in zip(queries, traffic.lines(queries), strict=True):
        producer.send(topic, key=query["client_id"].encode(), value=line)
    producer.flush()
    producer.close()


class Deployment:
    """A topic, a namespace, a configuration that names both."""

    def __init__(
        self,
        folder: Path,
        kafka: KafkaServer,
        elasticsearch: ElasticsearchServer,
        topic: str,
        namespace: str,
        detection: str,
    ) -> None:
        self.folder, self.kafka, self.topic, self.namespace = folder, kafka, topic, namespace
        self.client = Elasticsearch(elasticsearch.url)
        self._elasticsearch = elasticsearch
        self._detection = detection
        self.config = folder / "querywatch.toml"
        self.configure("group-" + uuid.uuid4().hex)

    def configure(self, group: str) -> None:
        self.config.write_text(
            f"[detection]\n{self._detection}\n"
            f'[kafka]\nbootstrap_servers = ["{self.kafka.bootstrap}"]\ntopic = "{self.topic}"\n'
            f'group_id = "{group}"\n'
            f'[elasticsearch]\nhosts = ["{self._elasticsearch.url}"]\nnamespace = "{self.namespace}"\n'
            f"[state]\nsave_seconds = 0.5\n"
            f"[health]\nport = 0\n"
        )

    def run(self) -> None:
        querywatch(self.folder, "run", "--config", self.config, "--until-end")

    def found(self, kind: str) -> dict[str, dict[str, Any]]:
        """Documents about clients by id, by a search on `event.kind`, without what the sink's edge added."""
        stream = f"logs-querywatch.alerts-{self.namespace}"
        self.client.indices.refresh(index=stream)
        query = {
            "bool": {
                "filter": {"term": {"event.kind": kind}},
                "must_not": {"term": {"querywatch.entity.kind": "detector"}},
            }
        }
        hits = self.client.search(index=stream, query=query, size=1000)["hits"]["hits"]
        out = {}
        for hit in hits:
            document = hit["_source"]
            assert document["event"].pop("created")
            assert document["event"].pop("ingested")
            out[hit["_id"]] = document
        return out


def replayed(path: Path, namespace: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What `replay --alerts` wrote, by kind and id, in the namespace of the live documents."""
    out: dict[str, dict[str, dict[str, Any]]] = {"alert": {}, "event": {}}
    for line in path.read_bytes().splitlines():
        document = json.loads(line)
        document["data_stream"]["namespace"] = namespace
        out[document["event"]["kind"]][document.pop("_id")] = document
    return out


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
    traffic.write(tmp_path / "history.ndjson", traffic.benign(300, seed=1))
    traffic.write(tmp_path / "log.ndjson", queries)
    querywatch(tmp_path, "fit", "history.ndjson", "--profile", "toy.qwp")
    querywatch(tmp_path, "replay", "log.ndjson", "--profile", "toy.qwp", "--frozen", "--alerts", "out.ndjson")
    topic = kafka_topic(partitions=3)
    produce(kafka_server, topic, queries)
    deployment = Deployment(
        tmp_path, kafka_server, elasticsearch_server, topic, namespace, 'profile = "toy.qwp"\nlearn = false'
    )
    checked = querywatch(tmp_path, "check", "--config", deployment.config)
    assert "FAILED" not in checked
    assert "3 partitions" in checked

    deployment.run()
    expected = replayed(tmp_path / "out.ndjson", namespace)
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
    querywatch(tmp_path, "replay", "log.ndjson", "--alerts", "out.ndjson")
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
    traffic.write(tmp_path / "history.ndjson", traffic.benign(300, seed=1))
    querywatch(tmp_path, "fit", "history.ndjson", "--profile", "toy.qwp")
    topic = kafka_topic(partitions=1)
    queries = traffic.inversion(seed=3)
    produce(kafka_server, topic, queries[:20])
    deployment = Deployment(
        tmp_path, kafka_server, elasticsearch_server, topic, namespace, 'profile = "toy.qwp"\nlearn = false'
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "detector", "run", "--config", str(deployment.config)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=log,
        )
        try:
            state = tmp_path / "querywatch-state" / f"{topic}-0.state"
            until = time.monotonic() + 120
            while not state.exists() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.2)
            assert state.exists(), (tmp_path / "log").read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()
            process.wait()
    events = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    said = {event["event"]: event for event in events}
    assert said["starting"]["profiles"]["toy"].startswith("1-")
    assert said["stopped"]["queries"] == 20
    assert events[-1] == said["stopped"]

    produce(kafka_server, topic, queries[20:])
    deployment.run()
    traffic.write(tmp_path / "log.ndjson", queries)
    querywatch(tmp_path, "replay", "log.ndjson", "--profile", "toy.qwp", "--frozen", "--alerts", "out.ndjson")
    expected = replayed(tmp_path / "out.ndjson", namespace)
    assert {kind: deployment.found(kind) for kind in ("alert", "event")} == expected
    assert expected["alert"]
    deployment.client.close()
