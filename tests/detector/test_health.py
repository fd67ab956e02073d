"""What monitoring sees of a service that runs: real HTTP requests, in the middle of its work."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from connectors.memory import MemoryAlertSink
from detector import backoff
from detector import health as health_module
from detector.config import Config, Health, Pipeline, State
from detector.episodes import SelfAlertEpisodes
from detector.errors import SinkUnavailable
from detector.health import served
from detector.metrics import STAGES
from detector.monitor import Monitor
from detector.pipeline import Shard
from detector.query import Record
from detector.service import Service
from detector.settings import Settings
from detector.vitals import Vitals
from tests import traffic
from tests.detector.world import FailingSink, MemoryMember, MemoryTopic, World, wait_until
from tests.servers.process import free_port


class Client:
    """A monitoring system."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, body

    def ready(self) -> tuple[int, list[str]]:
        """The status, and what is missing."""
        status, body = self.ask("/ready")
        return status, [need["name"] for need in json.loads(body)["needs"] if not need["ok"]]

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Values by name and label values."""
        status, body = self.ask("/metrics")
        assert status == 200
        found = {}
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                labels = [sample.labels[key] for key in sorted(sample.labels)]
                found[sample.name.removeprefix("querywatch_"), *labels] = sample.value
        return found


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.001)


@pytest.fixture
def world(tmp_path: Path, toy_profile: Path) -> World:
    first = traffic.lines(traffic.mixed(traffic.benign(20, seed=2), traffic.inversion(seed=3)))
    second = traffic.lines(traffic.benign(20, seed=4))
    second.insert(50, b"not json")
    made = World(tmp_path, toy_profile, MemoryTopic(first, second))
    made.config = Config(state=State(save_seconds=1e-9), pipeline=Pipeline(batch_queries=100))
    return made


@pytest.fixture
def every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot at every turn, so that no test waits for the next one."""
    monkeypatch.setattr("detector.vitals.SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr("detector.vitals.LAG_SECONDS", 0.0)


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    return Monitor(Config(), "host", SelfAlertEpisodes(tmp_path, "topic"))


@pytest.fixture
def client(monitor: Monitor) -> Iterator[Client]:
    port = free_port()
    with served(monitor, "127.0.0.1", port) as listening:
        assert listening == port
        yield Client(port)


def serve(service: Service) -> Any:
    return served(service.monitor, "127.0.0.1", free_port())


def test_the_metrics_tell_what_the_run_did(world: World, every_turn: None) -> None:
    sink = MemoryAlertSink()
    service = world.service(sink)
    member = MemoryMember(world.topic, service)
    halfway: list[dict[tuple[str, ...], float]] = []
    with serve(service) as port:
        client = Client(port)
        member.on_poll = lambda: halfway.append(client.metrics())
        service.run(member, until_end=True)
        found = client.metrics()
    assert found["queries_total",] == service.account.queries == sum(map(len, world.topic.partitions)) - 1
    assert found["dead_letters_total", "not_json"] == 1
    assert found["dead_letters_total", "sink_down"] == 0
    kinds = [alert.document["event"]["kind"] for alert in sink.alerts]
    raised = {key: value for key, value in found.items() if key[0] == "alerts_total" and value}
    (alert,) = [alert.document for alert in sink.alerts if alert.document["event"]["kind"] == "alert"]
    severity = {21: "low", 47: "medium", 73: "high", 99: "critical"}[alert["event"]["severity"]]
    assert raised == {("alerts_total", severity, alert["querywatch"]["technique"]["name"]): 1.0}
    assert found["alert_updates_total",] == kinds.count("event")
    assert found["suppressed_total",] > 0
    for stage in STAGES:
        assert found["stage_seconds_count", stage] > 0
    assert (found["sink_up", "memory"], found["undelivered", "memory"]) == (1.0, 0.0)
    assert (found["lag_records", "0"], found["lag_records", "1"]) == (0.0, 0.0)
    assert (found["partitions",], found["ready",]) == (2.0, 1.0)
    assert found["live_sessions",] > 20
    assert found["state_bytes", "0"] > 1000
    assert found["last_save_timestamp_seconds",] > 1_700_000_000
    assert sum(value for key, value in found.items() if key[0] == "self_alert") == 0
    assert found["process_resident_memory_bytes",] > 0
    assert halfway[0]["queries_total",] == 0.0
    assert 0.0 < halfway[2]["queries_total",] < found["queries_total",]
    assert halfway[2]["lag_records", "0"] > 0.0


def test_it_is_ready_when_partitions_are_assigned(world: World, every_turn: None) -> None:
    service = world.service(MemoryAlertSink())
    member = MemoryMember(world.topic, service)
    seen: list[tuple[int, list[str]]] = []
    with serve(service) as port:
        client = Client(port)
        member.on_poll = lambda: seen.append(client.ready())
        service.run(member, until_end=True)
        assert client.ask("/health")[0] == 200
    assert seen[0] == (503, ["started"])
    assert set(map(str, seen[1:])) == {"(200, [])"}


def test_a_sink_that_is_down_is_not_ready_and_a_self_alert_when_it_is_back(
    world: World, every_turn: None
) -> None:
    # Small batches, so that there is something to read and to tell after the sink is back.
    world.config = Config(
        state=State(save_seconds=1e-9),
        pipeline=Pipeline(batch_queries=50),
        health=Health(sink_down_seconds=1e-9),
    )
    sink = FailingSink([SinkUnavailable("siem", "is down")])
    sink.name = "siem"
    service = world.service(sink)
    member = MemoryMember(world.topic, service)
    sink.until = lambda: member.polls_while_paused >= 5
    seen: list[tuple[int, tuple[int, list[str]], dict[tuple[str, ...], float]]] = []
    with serve(service) as port:
        client = Client(port)
        member.on_poll = lambda: seen.append((member.polls_while_paused, client.ready(), client.metrics()))
        service.run(member, until_end=True)
        assert client.ready() == (200, [])
    # From the fifth on it may come back between the one question and the other.
    during = [found for polls, ready, found in seen if polls < 5 and ready == (503, ["sink siem"])]
    assert during
    assert during[-1]["sink_up", "siem"] == 0.0
    assert during[-1]["oldest_undelivered_seconds", "siem"] > 0.0
    assert during[-1]["sink_errors_total", "siem"] > 0.0
    assert during[-1]["self_alert", "sink_down"] == 1.0
    ours = [a.document for a in sink.alerts if a.document["querywatch"]["entity"]["kind"] == "detector"]
    assert [(d["event"]["kind"], d["event"]["action"]) for d in ours] == [
        ("alert", "sink-down"),
        ("event", "alert-closed"),
    ]
    assert ours[0]["event"]["id"] == ours[1]["event"]["id"]


def test_a_state_that_cannot_be_saved_is_not_ready(world: World, every_turn: None) -> None:
    world.config = Config(state=State(save_seconds=1e-9), pipeline=Pipeline(batch_queries=50))
    service = world.service(MemoryAlertSink())
    member = MemoryMember(world.topic, service)
    seen: list[tuple[int, list[str]]] = []
    failed = (503, ["state"])
    links = [world.store().path(partition, "partial") for partition in (0, 1)]
    for link in links:
        link.symlink_to("/dev/full")
    with serve(service) as port:
        client = Client(port)

        def look() -> None:
            # What the thread does is told in the turns after it, so it is waited for: a failed try removes
            # the link, and the one after it writes.
            if failed in seen:
                wait_until(lambda: all(world.store().path(partition).exists() for partition in (0, 1)))
            elif seen:
                wait_until(lambda: not any(link.is_symlink() for link in links))
            seen.append(client.ready())

        member.on_poll = look
        service.run(member, until_end=True)
    assert failed in seen
    assert (200, []) in seen[seen.index(failed) :]


def test_self_alerts_hold_up_no_save(world: World, every_turn: None) -> None:
    """A first start, no alert yet, and the sink is down: the position is saved all the same."""
    world.topic = MemoryTopic([b"not json"], [])
    world.config = Config(state=State(save_seconds=1e-9), health=Health(no_input_seconds=1e-9))
    sink = FailingSink([SinkUnavailable("memory", "is down")])
    sink.until = lambda: False
    service = world.service(sink)
    member = MemoryMember(world.topic, service)
    service.run(member, until_end=True)
    assert sink.alerts == []
    assert world.topic.commits == {0: 1, 1: 0}


def test_a_loop_that_hangs_is_not_alive(tmp_path: Path) -> None:
    stuck = Monitor(Config(health=Health(stuck_seconds=1e-9)), "host", SelfAlertEpisodes(tmp_path, "topic"))
    with served(stuck, "127.0.0.1", port := free_port()):
        status, body = Client(port).ask("/health")
        assert Client(port).ready() == (503, ["loop", "started"])
    assert status == 503
    assert json.loads(body)["alive"] is False
    assert "restart it" in json.loads(body)["said"]


def test_before_the_first_turn_it_is_alive_but_not_ready(client: Client) -> None:
    assert client.ask("/health")[0] == 200
    assert client.ready() == (503, ["started"])
    assert client.metrics()["ready",] == 0.0


def test_other_paths_and_methods_are_refused(client: Client) -> None:
    assert client.ask("/") == (404, b'{"paths": ["/health", "/ready", "/metrics"]}\n')
    assert client.ask("/metrics/../health")[0] == 404
    assert client.ask("/health", "POST")[0] == 501
    assert client.ask("/health?probe=1", "HEAD") == (200, b"")


def test_slow_clients_hold_nobody_up(client: Client) -> None:
    slow = [
        socket.create_connection(("127.0.0.1", client.port))
        for _ in range(health_module.MOST_CONNECTIONS - 2)
    ]
    for connection in slow:
        connection.sendall(b"GET /met")
    assert client.ask("/health")[0] == 200
    for connection in slow:
        connection.close()


def test_more_connections_than_allowed_are_cut(client: Client) -> None:
    many = [
        socket.create_connection(("127.0.0.1", client.port))
        for _ in range(health_module.MOST_CONNECTIONS + 1)
    ]
    many[-1].settimeout(30)
    assert many[-1].recv(1) == b""
    for connection in many:
        connection.close()


def test_a_port_that_is_taken_is_told_and_the_rest_goes_on(
    monitor: Monitor, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with served(monitor, "127.0.0.1", other.getsockname()[1]) as port:
            assert port == 0
    assert "health.port" in capsys.readouterr().out


def test_port_0_is_none(monitor: Monitor) -> None:
    with served(monitor, "127.0.0.1", 0) as port:
        assert port == 0


def test_evictions_are_counted_by_kind(monitor: Monitor) -> None:
    vitals, shard = Vitals(monitor), Shard(Settings(learn=False, memory=0), {})
    records = [Record(float(n), "toy", f"client-{n}", [float(n), 0.0], offset=n) for n in range(100)]
    with vitals.counted(shard):
        shard.process(records)
    sessions = shard.models["toy"].sessions
    text = monitor.text().decode()
    assert sessions.evicted == 100 - len(sessions) > 0
    assert f'evicted_total{{entity="session",suspicious="no"}} {sessions.evicted}.0' in text
    assert 'evicted_total{entity="session",suspicious="yes"} 0.0' in text
    with vitals.counted(shard):
        pass
    assert monitor.text().decode().count(f" {sessions.evicted}.0\n") == text.count(f" {sessions.evicted}.0\n")


def test_partitions_that_went_to_others_leave_the_metrics(monitor: Monitor) -> None:
    vitals = Vitals(monitor)
    vitals.saved(3, 0.1, 1000)
    assert b'querywatch_state_bytes{partition="3"}' in monitor.text()
    vitals.forget(3)
    assert b'querywatch_state_bytes{partition="3"}' not in monitor.text()
