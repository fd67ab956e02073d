"""`querywatch run` on a real Kafka and a real Elasticsearch, as monitoring sees it from outside."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sqlite import read_alerts, read_dead_letters
from tests import traffic
from tests.conftest import TopicFactory
from tests.deployment import (
    FROZEN,
    Deployment,
    fit_toy,
    produce,
    running,
)
from tests.detector.test_health import Client
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_port

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

PATIENCE_SECONDS = 120.0


def wait_for(what: str, true: Callable[[], bool]) -> None:
    """Until it is true. A process that does not listen yet is not."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if true():
                return
        except ConnectionError:
            pass
        assert time.monotonic() < until, f"no {what}"
        time.sleep(0.1)


def test_a_running_service_tells_how_it_is_and_reloads_its_configuration(
    tmp_path: Path,
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    kafka_topic: TopicFactory,
    namespace: str,
) -> None:
    fit_toy(tmp_path)
    topic = kafka_topic(partitions=2)
    queries = traffic.mixed(traffic.benign(20, seed=2), traffic.inversion(seed=3))
    produce(kafka_server, topic, queries)
    deployment = Deployment(tmp_path, kafka_server, elasticsearch_server, topic, namespace, FROZEN)
    client = Client(free_port())
    text = deployment.config.read_text().replace(
        "port = 0\n",
        f'port = {client.port}\nno_input_seconds = 2\n[sinks]\nalerts = ["elasticsearch", "sqlite"]\n',
    )
    deployment.config.write_text(text)
    with running(tmp_path, deployment.config) as process:
        wait_for("readiness", lambda: client.ready() == (200, []))
        wait_for("end of the topic", lambda: client.metrics()["queries_total",] == len(queries))
        wait_for("save", lambda: ("state_bytes", "1") in client.metrics())
        wait_for("self-alert", lambda: client.metrics()["self_alert", "no_input"] == 1.0)
        wait_for("lag", lambda: client.metrics().get(("lag_records", "0")) == 0.0)
        found = client.metrics()
        assert sum(value for key, value in found.items() if key[0] == "alerts_total") >= 1.0
        assert found["sink_up", "elasticsearch"] == found["sink_up", "sqlite querywatch.sqlite"] == 1.0
        assert client.ask("/health")[0] == 200

        deployment.config.write_text(text.replace(topic, "another-topic"))
        process.send_signal(signal.SIGHUP)
        wait_for("refusal", lambda: client.metrics()["config_reloads_total", "refused"] == 1.0)
        deployment.config.write_text(text.replace("[detection]\n", "[detection]\nfalse_alert_budget = 2\n"))
        process.send_signal(signal.SIGHUP)
        wait_for("reload", lambda: client.metrics()["config_reloads_total", "applied"] == 1.0)
        first = (tmp_path / "log").read_bytes()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0

    # Stopped in the middle of the silence, which the next process neither tells again nor forgets.
    with running(tmp_path, deployment.config) as process:
        wait_for("readiness", lambda: client.ready() == (200, []))
        wait_for("time", lambda: client.metrics()["self_alert", "no_input"] == 1.0)
        produce(kafka_server, topic, traffic.benign(1, seed=9))
        wait_for("end of the silence", lambda: b"self-alert is over" in (tmp_path / "log").read_bytes())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0

    second = (tmp_path / "log").read_bytes()
    assert b'"self-alert"' not in second
    events = [json.loads(line) for line in [*first.splitlines(), *second.splitlines()] if line.endswith(b"}")]
    said = {event["event"]: event for event in events}
    assert "kafka.topic" in said["the configuration is not reloaded, the one before stands"]["problem"]
    assert said["the configuration is reloaded"]["changed"] == ["detection.false_alert_budget"]

    about_clients = {**deployment.found("alert"), **deployment.found("event")}
    ours = deployment.client.search(
        index=f"logs-querywatch.alerts-{namespace}",
        query={"term": {"querywatch.entity.kind": "detector"}},
        sort=["@timestamp", "event.sequence"],
    )["hits"]["hits"]
    kinds = [(hit["_source"]["event"]["kind"], hit["_source"]["event"]["action"]) for hit in ours]
    assert kinds[:2] == [("alert", "no-input"), ("event", "alert-closed")]
    assert ours[0]["_source"]["event"]["id"] == ours[1]["_source"]["event"]["id"]
    stored = {alert.id for alert in read_alerts(tmp_path / "querywatch.sqlite")}
    assert stored == {*about_clients, *(hit["_id"] for hit in ours)}
    deployment.client.close()


def test_a_cluster_that_never_answers_holds_up_neither_the_database_nor_saving(
    tmp_path: Path, kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    fit_toy(tmp_path)
    topic = kafka_topic()
    produce(kafka_server, topic, traffic.inversion(seed=3))
    client = Client(free_port())
    config = tmp_path / "querywatch.toml"
    config.write_text(
        f'[detection]\nprofile = "toy.qwp"\nlearn = false\n'
        f'[kafka]\nbootstrap_servers = ["{kafka_server.bootstrap}"]\ntopic = "{topic}"\n'
        f'[elasticsearch]\nhosts = ["http://127.0.0.1:{free_port()}"]\n'
        f'[sinks]\nalerts = ["elasticsearch", "sqlite"]\nhold_back_seconds = 5\n'
        f"[state]\nsave_seconds = 0.5\n[health]\nport = {client.port}\nsink_down_seconds = 1\n"
    )
    with running(tmp_path, config) as process:
        wait_for("given up", lambda: client.metrics()["dead_letters_total", "sink_down"] > 0.0)
        wait_for("save", lambda: ("state_bytes", "0") in client.metrics())
        assert client.ready() == (503, ["sink elasticsearch"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    stored = read_alerts(tmp_path / "querywatch.sqlite")
    ours = [a for a in stored if a.document["querywatch"]["entity"]["kind"] == "detector"]
    about_clients = [alert for alert in stored if alert not in ours]
    assert {alert.document["user"]["id"] for alert in about_clients} == {"attacker-3"}
    assert [alert.document["event"]["action"] for alert in ours] == ["sink-down"]
    letters = read_dead_letters(tmp_path / "querywatch.sqlite")
    assert {letter.reason for letter in letters} == {"sink_down"}
    assert {letter.raw for letter in letters} >= {alert.to_json() for alert in about_clients}
