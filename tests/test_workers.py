"""Two workers on a real Kafka: the same alerts as one run, none twice, through a stop and a crash."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

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
    running,
)
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

PARTITIONS = 4
PATIENCE_SECONDS = 60.0


def events(folder: Path) -> list[dict[str, Any]]:
    """What the workers have logged so far, a line that is only half there left out."""
    whole = (folder / "log").read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def wait_for_saved(folder: Path, queries: int) -> None:
    """Until the two workers say that they have saved so many queries together."""
    until = time.monotonic() + PATIENCE_SECONDS
    seen: dict[object, int] = {}
    while sum(seen.values()) < queries:
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.1)
        seen = {said["worker"]: said["queries"] for said in events(folder) if said["event"] == "saved"}


def wait_until_both_read(folder: Path) -> None:
    """Until each of the two workers says where it begins to read a partition."""
    until = time.monotonic() + PATIENCE_SECONDS
    reading: set[object] = set()
    while len(reading) < 2:
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.1)
        reading = {said["worker"] for said in events(folder) if "begins at offset" in said["event"]}


def test_two_workers_give_what_replay_gives_through_a_stop_and_a_crash(
    tmp_path: Path,
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    kafka_topic: TopicFactory,
    namespace: str,
) -> None:
    queries = traffic.mixed(traffic.benign(60, seed=2), *traffic.apart(range(3, 9), step=10.0))
    traffic.write(tmp_path / "log.ndjson", queries)
    fit_toy(tmp_path)
    expected = replay_frozen(tmp_path, namespace)
    assert len(expected["alert"]) >= 6
    deployment = Deployment(
        tmp_path,
        kafka_server,
        elasticsearch_server,
        kafka_topic(partitions=PARTITIONS),
        namespace,
        FROZEN,
    )
    third = len(queries) // 3

    with running(tmp_path, deployment.config, "--workers", "2") as process:
        # Only then the records: where one starts long before the other, it may read all there is alone.
        wait_until_both_read(tmp_path)
        produce(kafka_server, deployment.topic, queries[:third])
        wait_for_saved(tmp_path, third)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    said = events(tmp_path)
    stopped = {e["worker"]: e["queries"] for e in said if e["event"] == "stopped"}
    assert set(stopped) == {1, 2}
    assert all(stopped.values()), "both had partitions"
    assert all("worker" in e for e in said if e["event"] in {"starting", "saved"})
    assert (said[-1]["event"], said[-1]["exit_code"]) == ("all workers ended", 0)

    produce(kafka_server, deployment.topic, queries[third : 2 * third])
    with running(tmp_path, deployment.config, "--workers", "2") as process:
        wait_for_saved(tmp_path, third)
        (started,) = [e["processes"] for e in events(tmp_path) if e["event"] == "workers started"]
        assert isinstance(started, dict)
        os.kill(started["2"], signal.SIGKILL)
        assert process.wait(timeout=10) == 128 + signal.SIGKILL
    (failed,) = [e for e in events(tmp_path) if e["event"] == "worker failed, all stop"]
    assert (failed["worker"], failed["exit_code"], failed["signal"]) == (2, 137, "SIGKILL")

    produce(kafka_server, deployment.topic, queries[2 * third :])
    querywatch(tmp_path, "run", "--config", deployment.config, "--workers", 2, "--until-end")
    assert {kind: deployment.found(kind) for kind in ("alert", "event")} == expected
    stream = f"logs-querywatch.alerts-{namespace}"
    stored = deployment.client.count(index=stream)["count"]
    assert stored == len(expected["alert"]) + len(expected["event"]), "none twice"
    deployment.client.close()
