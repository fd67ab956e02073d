"""`querywatch run` with a webhook that is dead beside a real Elasticsearch, as seen from outside."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from connectors.sqlite import read_dead_letters
from tests import traffic
from tests.conftest import TopicFactory
from tests.connectors.webhook_receiver import Receiver
from tests.deployment import (
    FROZEN,
    Deployment,
    fit_toy,
    produce,
    querywatch,
    running,
)
from tests.detector.test_health import Client
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_port
from tests.test_monitoring import wait_for

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def clients(deployment: Deployment) -> set[str]:
    """Whom the alerts in Elasticsearch are about."""
    if not deployment.client.indices.exists(index=f"logs-querywatch.alerts-{deployment.namespace}"):
        return set()
    return {document["user"]["id"] for document in deployment.found("alert").values()}


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_dead_webhook_holds_back_nothing_but_saving_and_catches_up_or_is_resent(
    tmp_path: Path,
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    kafka_topic: TopicFactory,
    namespace: str,
    comes_back: bool,
) -> None:
    fit_toy(tmp_path)
    topic = kafka_topic()
    queries = traffic.mixed(traffic.inversion(seed=3), traffic.inversion(seed=5))
    produce(kafka_server, topic, queries)
    deployment = Deployment(tmp_path, kafka_server, elasticsearch_server, topic, namespace, FROZEN)
    client, port = Client(free_port()), free_port()
    text = deployment.config.read_text().replace(
        "port = 0\n",
        f"port = {client.port}\nsink_down_seconds = 1\n"
        f'[webhook]\nurl = "http://127.0.0.1:{port}/hook"\n'
        f'[sinks]\noptional = ["webhook"]\nhold_back_seconds = {3600 if comes_back else 2}\n',
    )
    deployment.config.write_text(text)
    with running(tmp_path, deployment.config) as process:
        wait_for("self-alert", lambda: client.metrics()["self_alert", "sink_down"] == 1.0)
        wait_for("end of the topic", lambda: client.metrics()["queries_total",] == len(queries))
        wait_for("alerts in Elasticsearch", lambda: clients(deployment) == {"attacker-3", "attacker-5"})
        assert client.ready() == (503, ["sink webhook"])
        assert client.metrics()["sink_up", "webhook"] == 0.0
        assert client.metrics()["sink_errors_total", "webhook"] > 0.0
        if comes_back:
            wait_for("waiting alerts", lambda: client.metrics()["undelivered", "webhook"] >= 2.0)
            with Receiver(port=port) as receiver:
                wait_for("readiness", lambda: client.ready() == (200, []))
                wait_for(
                    "delivery", lambda: {a.id for a in receiver.alerts} >= set(deployment.found("alert"))
                )
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=10) == 0
        else:
            wait_for("giving up", lambda: client.metrics()["undelivered", "webhook"] == 0.0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
            with Receiver(port=port) as receiver:
                querywatch(tmp_path, "resend", "--config", str(deployment.config))
    letters = read_dead_letters(tmp_path / "querywatch.sqlite")
    assert {letter.reason for letter in letters} == (set() if comes_back else {"sink_down"})
    stored = {**deployment.found("alert"), **deployment.found("event")}
    assert {found.id for found in receiver.alerts} >= set(stored)
    assert {a.document["event"]["action"] for a in receiver.alerts} >= {"sink-down"}
    deployment.client.close()
