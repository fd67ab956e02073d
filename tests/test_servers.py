"""The servers are the real ones: a record and a document go in and come out, also after a crash."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from kafka import KafkaConsumer, KafkaProducer

from tests.conftest import TopicFactory
from tests.servers import cache, elasticsearch, java
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.errors import ServerError
from tests.servers.kafka import KafkaServer
from tests.servers.process import ServerProcess, free_row_of_ports

_SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def _produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    try:
        producer.send(topic, value).get(timeout=30)
    finally:
        producer.close()


def _consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    try:
        while len(values) < count and time.monotonic() < deadline:
            for records in consumer.poll(timeout_ms=500).values():
                values.extend(record.value for record in records)
    finally:
        consumer.close()
    return values


def test_a_row_of_ports_is_free_as_a_whole() -> None:
    first = free_row_of_ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 2))
        other = free_row_of_ports(3)
        assert not other <= first + 2 < other + 3
        for port in range(other, other + 3):
            with socket.socket() as free:
                free.bind(("127.0.0.1", port))


@pytest.mark.servers
def test_kafka_hands_out_what_was_sent(kafka_server: KafkaServer, kafka_topic: TopicFactory) -> None:
    topic = kafka_topic(partitions=3)
    _produce(kafka_server.bootstrap, topic, b"one query")
    assert _consume(kafka_server.bootstrap, topic, 1) == [b"one query"]


@pytest.mark.servers
def test_topics_are_of_the_tests_own(kafka_topic: TopicFactory) -> None:
    assert kafka_topic() != kafka_topic()


@pytest.mark.servers
def test_kafka_keeps_its_address_and_data_over_a_crash() -> None:
    with KafkaServer() as server:
        server.create_topic("queries")
        _produce(server.bootstrap, "queries", b"before")
        server.kill()
        server.start()
        _produce(server.bootstrap, "queries", b"after")
        assert _consume(server.bootstrap, "queries", 2) == [b"before", b"after"]


@pytest.mark.servers
def test_elasticsearch_finds_what_was_written_to_a_data_stream(
    elasticsearch_server: ElasticsearchServer, namespace: str
) -> None:
    stream = f"logs-querywatch.tests-{namespace}"
    with Elasticsearch(elasticsearch_server.url) as client:
        assert client.info()["version"]["number"] == elasticsearch.VERSION
        client.indices.put_index_template(
            name=f"querywatch-{namespace}",
            index_patterns=[stream],
            data_stream={},
            priority=500,
            template={"mappings": {"properties": {"event": {"properties": {"kind": {"type": "keyword"}}}}}},
        )
        document = {"@timestamp": "2026-01-01T00:00:00Z", "event": {"kind": "alert"}}
        answer = client.bulk(
            operations=[{"create": {"_index": stream, "_id": "a"}}, document],
            require_data_stream=True,
            refresh=True,
        )
        assert not answer["errors"], answer
        found = client.search(index=stream, query={"term": {"event.kind": "alert"}})
        assert [hit["_source"] for hit in found["hits"]["hits"]] == [document]


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    server = ServerProcess(
        "Broken",
        [sys.executable, "-c", "raise SystemExit('disk on fire')"],
        environment=os.environ,
        folder=tmp_path,
        answers=lambda: False,
        seconds=30,
    )
    with pytest.raises(ServerError, match=r"Broken ended with exit code 1.*\n.*disk on fire"):
        server.start()
    assert server.pid is None


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    server = ServerProcess(
        "Mute",
        [sys.executable, "-c", _SLEEPER],
        environment=os.environ,
        folder=tmp_path,
        answers=lambda: False,
        seconds=1,
    )
    with pytest.raises(ServerError, match="Mute did not answer within 1 s"):
        server.start()
    with pytest.raises(ProcessLookupError):
        os.kill(int(server.log.read_text()), 0)


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = f"""
import os, pathlib, signal
from tests.servers.process import ServerProcess
folder = pathlib.Path({str(tmp_path)!r})
ServerProcess("Orphan", [{sys.executable!r}, "-c", {_SLEEPER!r}], environment=os.environ, folder=folder,
    seconds=30, answers=lambda: (folder / "server.log").read_text() != "").start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", starter], cwd=Path(__file__).parents[1], check=False)
    orphan = Path("/proc", (tmp_path / "server.log").read_text().strip(), "stat")
    deadline = time.monotonic() + 10
    # It may stay as a zombie (Z) where the first process of the system does not reap.
    while orphan.exists() and ") Z " not in orphan.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not orphan.exists() or ") Z " in orphan.read_text()


def test_what_is_missing_is_said_in_one_line() -> None:
    with pytest.raises(ServerError, match=r"^no Java 999 or later found .*install a JDK 999\+[^\n]*$"):
        java.find_jdk(999)


def test_a_failed_download_leaves_nothing_and_the_next_try_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "directory", lambda: tmp_path / "cache")

    def fails(folder: Path) -> None:
        (folder / "half").write_text("")
        raise ServerError("no network")

    with pytest.raises(ServerError, match="no network"):
        cache.install("thing", fails)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["thing.lock"]

    made = cache.install("thing", lambda folder: (folder / "whole").touch())
    assert [p.name for p in made.iterdir()] == ["whole"]
    assert cache.install("thing", fails) == made
