"""The configuration taken up by a running service: as a whole, or not at all with a message."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.elasticsearch import ElasticsearchSink
from connectors.memory import MemoryAlertSink
from connectors.webhook import WebhookSink
from detector.config import Config, Elasticsearch, Webhook, parse
from detector.errors import ConfigError
from detector.outputs import Outputs
from detector.reload import LIVE, Reloader, changes, require_live, with_budget
from detector.service import Service
from tests import traffic
from tests.connectors.fake_elasticsearch import FakeElasticsearch
from tests.connectors.webhook_receiver import Answer, Receiver
from tests.detector.world import MemoryMember, MemoryTopic, World

KEYS = [
    f"{section}.{key}"
    for section in Config.__struct_fields__
    for key in getattr(Config(), section).__struct_fields__
]


def changed(key: str) -> Config:
    """The default configuration with another value of one key."""
    section, name = key.split(".")
    old = getattr(getattr(Config(), section), name)
    new: Any = (not old) if isinstance(old, bool) else (*old, "new") if isinstance(old, tuple) else old * 2
    if isinstance(old, str):
        new = old + "new"
    values = msgspec.structs.replace(getattr(Config(), section), **{name: new})
    return msgspec.structs.replace(Config(), **{section: values})


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_taken_up_or_refused_by_name(key: str) -> None:
    new = changed(key)
    assert changes(Config(), new) == [key]
    if key in LIVE - {"elasticsearch.hosts", "webhook.url"}:
        assert require_live(Config(), new) == [key]
    else:
        with pytest.raises(ConfigError, match=f"^{key}: .*restart it"):
            require_live(Config(), new)


def test_live_keys_exist() -> None:
    assert set(KEYS) >= LIVE


def test_other_hosts_are_taken_up_but_not_the_first_or_the_last() -> None:
    hosts = [Config(elasticsearch=Elasticsearch(hosts=(host,))) for host in ("http://a", "http://b")]
    urls = [Config(webhook=Webhook(url=url)) for url in ("http://a", "http://b")]
    for key, (one, other) in (("elasticsearch.hosts", hosts), ("webhook.url", urls)):
        assert require_live(one, other) == [key]
        for old, new in ((Config(), one), (one, Config())):
            with pytest.raises(ConfigError, match=f"^{key}: "):
                require_live(old, new)


def test_all_keys_that_need_a_restart_are_named() -> None:
    new = parse('[kafka]\ntopic = "x"\n[sqlite]\npath = "y"\n[state]\nsave_seconds = 1\n', {})
    with pytest.raises(ConfigError, match=r"\(kafka.topic, sqlite.path\)"):
        require_live(Config(), new)


def test_the_budget_of_the_command_line_wins() -> None:
    assert with_budget(Config(), 5.0).detection.false_alert_budget == 5.0
    assert with_budget(Config(), None) == Config()


def test_a_signal_to_reload_waits_while_the_program_loads() -> None:
    # In a process of its own: other threads of this one would take the signal.
    code = (
        "import os, signal\n"
        "from detector.interrupt import RELOAD_SIGNAL, on_signals, reload_held\n"
        "heard = []\n"
        "with reload_held():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    assert heard == []\n"
        "    with on_signals(heard.append, (RELOAD_SIGNAL,)):\n"
        "        assert heard == [signal.SIGHUP]\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_a_signal_to_reload_is_heard_under_nohup_and_one_to_stop_stays_ignored() -> None:
    code = (
        "import os, signal\n"
        "from detector.interrupt import RELOAD_SIGNAL, STOP_SIGNALS, on_signals\n"
        "heard = []\n"
        "for number in (signal.SIGHUP, signal.SIGINT):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "with on_signals(heard.append, (*STOP_SIGNALS, RELOAD_SIGNAL)):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    assert heard == [signal.SIGHUP]\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


@pytest.fixture
def world(tmp_path: Path, toy_profile: Path) -> World:
    queries = traffic.lines(traffic.mixed(traffic.benign(20, seed=2), traffic.inversion(seed=3)))
    return World(tmp_path, toy_profile, MemoryTopic(queries))


def reloader(service: Service, text: str | Callable[[], str], old: Config) -> Reloader:
    """Asked already, of a service that runs with `old`."""
    made = Reloader(service, old, lambda: parse(text if isinstance(text, str) else text(), {}))
    made.asked.set()
    return made


def reloads(service: Service) -> dict[str, float]:
    """How many were applied and refused."""
    registry = service.monitor.metrics.registry
    return {
        outcome: registry.get_sample_value("querywatch_config_reloads_total", {"outcome": outcome}) or 0.0
        for outcome in ("applied", "refused")
    }


def test_a_changed_budget_moves_the_threshold_of_all_sessions(world: World) -> None:
    service = world.service(MemoryAlertSink())
    member = MemoryMember(world.topic, service)
    service.run(member, until_end=True)
    before = service.shards[0].models["toy"].threshold
    text = (
        "[detection]\nfalse_alert_budget = 50\n[pipeline]\nbatch_queries = 10\n"
        "[health]\nno_input_seconds = 7\n[state]\nsave_seconds = 1e-9\n"
    )
    reloader(service, text, world.config).turn()
    assert service.shards[0].models["toy"].threshold < before
    assert service.shards[0].settings.budget == 50.0
    assert service.monitor.watchdog.thresholds.no_input_seconds == 7.0
    assert reloads(service) == {"applied": 1.0, "refused": 0.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[detection]\nfalse_alert_budget = 50\n[kafka]\ntopic = 'other'\n", "kafka.topic"),
        ("[detection]\nfalse_alert_budget = 50\nbudget = 3\n", "detection.budget"),
        ("[detection]\nfalse_alert_budget = 5000\n", "false_alert_budget"),
        ("[detection\n", "not valid TOML"),
    ],
)
def test_a_wrong_configuration_changes_nothing(
    world: World, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = world.service(MemoryAlertSink())
    service.run(MemoryMember(world.topic, service), until_end=True)
    before = service.shards[0].models["toy"].threshold
    asked = reloader(service, text, world.config)
    asked.turn()
    assert service.shards[0].models["toy"].threshold == before
    assert reloads(service) == {"applied": 0.0, "refused": 1.0}
    out = capsys.readouterr().out
    assert said in out
    assert "the one before stands" in out
    asked.turn()
    assert reloads(service)["refused"] == 1.0


def test_it_is_taken_up_in_the_middle_of_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.config = parse("[pipeline]\nbatch_queries = 100\n[state]\nsave_seconds = 1e-9\n", {})
    service = world.service(MemoryAlertSink())
    asked = reloader(service, "[pipeline]\nbatch_queries = 10\n[state]\nsave_seconds = 1e-9\n", world.config)
    service.on_turn = asked.turn
    member = MemoryMember(world.topic, service)
    sizes: list[int] = []
    poll = member.poll

    def watched(timeout_seconds: float, max_records: int) -> Any:
        sizes.append(max_records)
        return poll(timeout_seconds, max_records)

    monkeypatch.setattr(member, "poll", watched)
    service.run(member, until_end=True)
    assert sizes[0] == 100
    assert set(sizes[1:]) == {10}


class Cluster:
    """A service that writes to a fake cluster, and what reloads do to it."""

    def __init__(self, world: World, fake: FakeElasticsearch) -> None:
        self.fake = fake
        self.old = parse(self.text("old"), {})
        world.config = self.old
        made = world.service(MemoryAlertSink())
        sink = ElasticsearchSink(self.old.elasticsearch, retry_seconds=0.1)
        self.service = Service(
            self.old, made._settings, world.profiles, made._decoder, Outputs([sink], []), world.store()
        )
        self.member = MemoryMember(world.topic, self.service)

    def text(self, key: str) -> str:
        return (
            f'[elasticsearch]\nhosts = ["{self.fake.url}"]\napi_key = "{key}"\n'
            f"[state]\nsave_seconds = 1e-9\n[pipeline]\nbatch_queries = 50\n"
        )


def test_new_credentials_are_tried_and_then_used(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeElasticsearch() as fake:
        cluster = Cluster(world, fake)
        keys: list[tuple[str, str]] = []
        answer = fake.answer

        def remember(method: str, path: str, body: bytes, headers: Any) -> Any:
            keys.append((path.partition("?")[0].rpartition("/")[2], headers["authorization"]))
            return answer(method, path, body, headers)

        monkeypatch.setattr(fake, "answer", remember)
        asked = reloader(cluster.service, cluster.text("new-secret"), cluster.old)
        cluster.service.on_turn = asked.turn
        cluster.service.run(cluster.member, until_end=True)
        assert {key for what, key in keys if what == "_bulk"} == {"ApiKey new-secret"}
        assert reloads(cluster.service)["applied"] == 1.0
    said = capsys.readouterr().out
    assert "elasticsearch.api_key" in said
    assert "new-secret" not in said


def test_credentials_that_the_cluster_refuses_change_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeElasticsearch() as fake:
        cluster = Cluster(world, fake)
        asked = reloader(cluster.service, cluster.text("wrong-secret"), cluster.old)

        def turn() -> None:
            fake.answers["/"] = (401, {"error": {"type": "security_exception", "reason": "no"}})
            asked.turn()
            fake.answers.clear()

        cluster.service.on_turn = turn
        cluster.service.run(cluster.member, until_end=True)
        assert reloads(cluster.service) == {"applied": 0.0, "refused": 1.0}
        assert fake.bulks
    said = capsys.readouterr().out
    assert "refuses the API key" in said
    assert "secret" not in said


def test_another_token_of_the_webhook_is_used_by_what_waits(world: World) -> None:
    with Receiver() as receiver:
        receiver.act = lambda request: Answer(200 if "new" in request.headers["Authorization"] else 503)

        def text(token: str) -> str:
            return (
                f'[webhook]\nurl = "{receiver.url}"\ntoken = "{token}"\n[sinks]\nalerts = ["webhook"]\n'
                f"[state]\nsave_seconds = 1e-9\n"
            )

        old = parse(text("old"), {})
        world.config = old
        made = world.service(MemoryAlertSink())
        outputs = Outputs([WebhookSink(old.webhook)], [])
        service = Service(old, made._settings, world.profiles, made._decoder, outputs, world.store())
        asked = reloader(service, text("new-token"), old)
        asked.asked.clear()

        def turn() -> None:
            if receiver.requests:
                asked.asked.set()
                service.on_turn = asked.turn

        service.on_turn = turn
        service.run(MemoryMember(world.topic, service), until_end=True)
        assert reloads(service)["applied"] == 1.0
    assert {found.id for found in receiver.alerts} == {a.id for a in world.expected()}
    assert receiver.requests[0].headers["Authorization"] == "Bearer old"
