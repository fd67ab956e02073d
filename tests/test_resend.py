"""Elasticsearch is mended, and what it did not take is sent again, from topic, database and file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from kafka import KafkaProducer

from connectors.elasticsearch import ElasticsearchSink
from connectors.file_sinks import NdjsonDeadLetterSink
from connectors.kafka_dead_letters import KafkaDeadLetterSink
from connectors.sqlite import SqliteSink
from detector.alert import Alert
from detector.config import Elasticsearch as Settings
from detector.config import Kafka
from detector.query import DeadLetter
from tests.conftest import TopicFactory
from tests.detector.conftest import Querywatch, querywatch
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

__all__ = ["querywatch"]
pytestmark = pytest.mark.servers


def alert(n: int) -> Alert:
    document: dict[str, Any] = {
        "@timestamp": "2026-11-24T10:15:42.118Z",
        "message": "Model inversion query pattern",
        "event": {"kind": "alert", "module": "querywatch", "dataset": "querywatch.alerts", "severity": 73},
        "data_stream": {"type": "logs", "dataset": "querywatch.alerts", "namespace": "default"},
        "querywatch": {"entity": {"kind": "session", "id": f"s-{n}"}},
        "labels": {"team": "fraud"},
    }
    return Alert(f"{n:040x}", document, n)


def stored(client: Elasticsearch, stream: str) -> Counter[str]:
    """How often each id is in the backing indices, all of them together."""
    client.indices.refresh(index=stream)
    hits = client.search(index=stream, size=1000)["hits"]["hits"]
    return Counter(hit["_id"] for hit in hits)


def test_what_was_refused_or_given_up_is_stored_once_after_the_cluster_is_mended(
    elasticsearch_server: ElasticsearchServer,
    kafka_server: KafkaServer,
    kafka_topic: TopicFactory,
    namespace: str,
    querywatch: Querywatch,
) -> None:
    stream = f"logs-querywatch.alerts-{namespace}"
    settings = Settings(hosts=(elasticsearch_server.url,), namespace=namespace)
    kafka = Kafka(
        bootstrap_servers=(kafka_server.bootstrap,), topic="queries", dead_letter_topic=kafka_topic(3)
    )
    config = Path("q.toml")
    config.write_text(
        f'[kafka]\nbootstrap_servers = ["{kafka_server.bootstrap}"]\ntopic = "queries"\n'
        f'dead_letter_topic = "{kafka.dead_letter_topic}"\n'
        f'[elasticsearch]\nhosts = ["{elasticsearch_server.url}"]\nnamespace = "{namespace}"\n'
    )
    sink = ElasticsearchSink(settings)
    with Elasticsearch(elasticsearch_server.url) as client:
        # Somebody maps a field of all alerts otherwise, with a template that goes before ours.
        client.indices.put_index_template(
            name=namespace,
            index_patterns=[stream],
            priority=9000,
            data_stream={},
            template={"mappings": {"properties": {"event": {"properties": {"severity": {"type": "ip"}}}}}},
        )
        sink.open()
        delivery = sink.write([alert(n) for n in range(4)])
        assert delivery.created == 0
        assert [letter.reason for letter in delivery.rejected] == ["rejected_by_sink"] * 4
        client.indices.delete_index_template(name=namespace)
        client.indices.rollover(alias=stream)
        # Given up while the cluster was down; of these, one came to be stored all the same.
        given_up = [DeadLetter("sink_down", "", alert(n).to_json(), sink.name, -1, n) for n in range(3, 8)]
        assert sink.write([alert(5)]).created == 1
        client.indices.rollover(alias=stream)
        sink.close()
        letters = [*delivery.rejected, *given_up, DeadLetter("not_json", "", b"\xff", "queries", 0, 1)]
        for letter_sink in (
            KafkaDeadLetterSink(kafka),
            NdjsonDeadLetterSink("dead.ndjson"),
            SqliteSink("db"),
        ):
            letter_sink.open()
            letter_sink.write_dead_letters(letters)
            letter_sink.close()
        stranger = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
        stranger.send(
            kafka.dead_letter_topic, value=b"x", headers=[("offset", b"9" * 30), ("reason", b"\xff")]
        )
        stranger.close()

        done = querywatch("resend", "--config", config)
        assert done.exit_code == 0, done.output
        assert done.output.splitlines()[0] == f"{len(letters) + 1} dead letters read"
        assert (
            "7 alerts stored, 1 were stored already" in done.output
            or "7 alerts stored, 2 were" in done.output
        )
        assert stored(client, stream) == {alert(n).id: 1 for n in range(8)}
        for files in ([], ["dead.ndjson"], ["db"]):
            client.indices.rollover(alias=stream)
            done = querywatch("resend", *files, "--config", config)
            assert done.exit_code == 0, done.output
            assert "0 alerts stored" in done.output
        assert stored(client, stream) == {alert(n).id: 1 for n in range(8)}
        (hit,) = client.search(index=stream, query={"ids": {"values": [alert(2).id]}})["hits"]["hits"]
        assert hit["_source"]["labels"] == {"team": "fraud"}
        assert hit["_source"]["event"]["created"] == hit["_source"]["event"]["ingested"]
        assert hit["_source"]["event"]["kind"] == "alert"


def test_what_a_replay_left_is_sent_where_a_replay_writes(
    elasticsearch_server: ElasticsearchServer, namespace: str, querywatch: Querywatch
) -> None:
    settings = Settings(hosts=(elasticsearch_server.url,), namespace=namespace)
    quiet = ElasticsearchSink(settings, replay=True)
    file = NdjsonDeadLetterSink("replay.dead-letters.ndjson")
    mine = Alert(f"{int(namespace[-10:], 16):040x}", alert(0).document, 0)
    file.write_dead_letters([DeadLetter("rejected_by_sink", "", mine.to_json(), quiet.name, -1, 0)])
    file.close()
    Path("q.toml").write_text(
        f'[elasticsearch]\nhosts = ["{elasticsearch_server.url}"]\nnamespace = "{namespace}"\n'
    )
    done = querywatch("resend", "replay.dead-letters.ndjson", "--config", "q.toml")
    assert "1 alerts stored" in done.output
    with Elasticsearch(elasticsearch_server.url) as client:
        client.indices.refresh(index="logs-querywatch.alerts-replay")
        found = client.search(
            index="logs-querywatch.alerts-*", query={"ids": {"values": [mine.id]}}, ignore_unavailable=True
        )["hits"]["hits"]
    assert [hit["_source"]["event"]["kind"] for hit in found] == ["event"]
