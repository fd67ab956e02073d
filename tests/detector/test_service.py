"""The service's loop: delivery, then state, then commit; nothing lost while a sink is down."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from connectors.base import AlertSink, Delivery
from connectors.kafka_start import Start
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink
from detector import backoff, shard_state
from detector import profile as profile_files
from detector.alert import Alert
from detector.config import Config, Pipeline, State
from detector.edge import make_decoder, settings_of
from detector.errors import SinkNotReady, SinkUnavailable, SourceError
from detector.outputs import Outputs
from detector.pipeline import Shard
from detector.query import DeadLetter, RawBatch
from detector.service import Service
from detector.state_store import StateStore
from tests import traffic

LATEST = traffic.START + 1e6


class MemoryTopic:
    """A topic of partitions in memory, and what a consumer group keeps of it."""

    def __init__(self, *partitions: list[bytes]) -> None:
        self.partitions = partitions
        self.commits: dict[int, int] = {}

    def ends(self) -> dict[int, int]:
        return {partition: len(values) for partition, values in enumerate(self.partitions)}


class MemoryMember:
    """The one member of the group, with the behaviour that `PartitionSource` asks for."""

    def __init__(self, topic: MemoryTopic, service: Service) -> None:
        self.topic = topic
        self.service = service
        self.topic_id = "id"
        self.paused = False
        self.polls_while_paused = 0
        self.stop_at_commit = False
        self.positions: dict[int, int] | None = None
        self.starts: dict[int, Start] = {}
        self.first_held: dict[int, int] = {}
        self.on_poll: Callable[[], None] = lambda: None
        self.on_commit: Callable[[Mapping[int, int]], None] = lambda offsets: None

    def poll(self, timeout_seconds: float, max_records: int) -> list[RawBatch]:
        self.on_poll()
        if self.positions is None:
            found = self.service.assigned(list(range(len(self.topic.partitions))))
            self.positions = {partition: offset or 0 for partition, offset in found.items()}
            self.starts = {partition: Start(at, "test") for partition, at in self.positions.items()}
        if self.paused:
            self.polls_while_paused += 1
            return []
        batches = []
        for partition, position in self.positions.items():
            values = self.topic.partitions[partition][position : position + max_records]
            if values:
                offsets = list(range(position, position + len(values)))
                batches.append(RawBatch("topic", partition, values, offsets, LATEST))
                self.positions[partition] += len(values)
        return batches

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        return {p: self.topic.commits.get(p) for p in partitions}

    def commit(self, offsets: Mapping[int, int]) -> bool:
        self.on_commit(offsets)
        if self.stop_at_commit:
            self.service.stop.set()
        self.topic.commits.update(offsets)
        return True

    def offset_at(self, partition: int, seconds: float) -> int:
        values = self.topic.partitions[partition]
        times = [json.loads(value)["timestamp"] if value.startswith(b"{") else 0.0 for value in values]
        return next((n for n, time in enumerate(times) if time >= seconds), len(values))

    def held(self, partition: int) -> tuple[int, int]:
        return self.first_held.get(partition, 0), len(self.topic.partitions[partition])

    def lag(self) -> dict[int, int]:
        positions = self.positions or {}
        return {p: len(self.topic.partitions[p]) - at for p, at in positions.items()}

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class FailingSink(MemoryAlertSink):
    """Fails with the given errors in turn, until something has happened."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__()
        self.errors = itertools.cycle(errors)
        self.until: Callable[[], bool] = lambda: True

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        if not self.until():
            raise next(self.errors)
        return super().write(alerts)


class World:
    """What stays when the process ends: topic, sinks, state directory."""

    def __init__(self, folder: Path, profile: Path, topic: MemoryTopic) -> None:
        self.folder = folder
        self.topic = topic
        self.letters = MemoryDeadLetterSink()
        self.profiles = profile_files.load(profile)
        self.config = Config(state=State(save_seconds=1e-9))

    def store(self) -> StateStore:
        store = StateStore(self.folder / "state", "topic", shard_state.VERSION)
        store.topic_id = "id"
        return store

    def service(self, sink: AlertSink) -> Service:
        store = self.store()
        store.open()
        settings = settings_of(self.config, learn=False)
        outputs = Outputs([sink], [self.letters])
        return Service(self.config, settings, self.profiles, make_decoder(self.config), outputs, store)

    def run(self, sink: AlertSink) -> MemoryMember:
        service = self.service(sink)
        member = MemoryMember(self.topic, service)
        service.run(member, until_end=True)
        return member

    def expected(self) -> list[Alert]:
        """What one shard a partition gives, without any service."""
        alerts = []
        for partition, values in enumerate(self.topic.partitions):
            shard = Shard(settings_of(self.config, learn=False), self.profiles, "topic", partition)
            batch = RawBatch("topic", partition, values, list(range(len(values))), LATEST)
            records, _ = make_decoder(self.config).decode(batch)
            alerts += shard.process(records).alerts
        return alerts


def by_id(alerts: Sequence[Alert]) -> dict[str, bytes]:
    """Alerts about clients; those of the detector about itself depend on the clock."""
    return {
        alert.id: alert.to_json()
        for alert in alerts
        if alert.document["querywatch"]["entity"]["kind"] != "detector"
    }


@pytest.fixture
def world(tmp_path: Path, toy_profile: Path) -> World:
    first = traffic.lines(traffic.mixed(traffic.benign(20, seed=2), traffic.inversion(seed=3)))
    second = traffic.lines(traffic.mixed(traffic.benign(20, seed=4), traffic.inversion(seed=5)))
    second.insert(50, b"not json")
    second.append(b"")
    return World(tmp_path, toy_profile, MemoryTopic(first, second))


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.001)


@pytest.fixture(autouse=True, params=["whole", "in pieces"])
def saved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small states are saved whole; here also as large ones are."""
    if request.param == "in pieces":
        monkeypatch.setattr(shard_state, "SMALL", 0)


def test_partitions_give_what_their_shards_give(world: World) -> None:
    sink = MemoryAlertSink()
    world.run(sink)
    assert by_id(sink.alerts) == by_id(world.expected()) != {}
    assert {a.document["user"]["id"] for a in sink.alerts} == {"attacker-3", "attacker-5"}
    (letter,) = world.letters.letters
    assert (letter.reason, letter.partition, letter.offset) == ("not_json", 1, 50)
    assert world.topic.commits == world.topic.ends()


def test_a_second_start_goes_on_at_the_end(world: World) -> None:
    sink = MemoryAlertSink()
    world.run(sink)
    before = list(sink.alerts)
    service = world.service(sink)
    service.run(MemoryMember(world.topic, service), until_end=True)
    assert service.account.queries == 0
    assert sink.alerts == before


def stopping(service: Service) -> Callable[[Mapping[int, int]], None]:
    return lambda offsets: service.stop.set()


def test_a_stop_in_the_middle_changes_no_alert(world: World) -> None:
    sink = MemoryAlertSink()
    world.config = Config(
        state=State(save_seconds=1e-9), pipeline=type(world.config.pipeline)(batch_queries=37)
    )
    while True:
        service = world.service(sink)
        member = MemoryMember(world.topic, service)
        member.on_commit = stopping(service)
        service.run(member)
        if not service.account.queries:
            break
        if world.topic.commits == {p: len(v) for p, v in enumerate(world.topic.partitions)}:
            break
    assert by_id(sink.alerts) == by_id(world.expected())


def test_a_sink_that_is_down_loses_nothing(world: World) -> None:
    errors = [SinkUnavailable("memory", "down"), SinkNotReady("memory", "no rights")]
    sink = FailingSink(errors)
    service = world.service(sink)
    member = MemoryMember(world.topic, service)
    sink.until = lambda: member.polls_while_paused >= 3
    service.run(member, until_end=True)
    assert by_id(sink.alerts) == by_id(world.expected())
    assert member.polls_while_paused >= 3
    assert not member.paused
    assert world.topic.commits == world.topic.ends()


def test_state_is_saved_after_delivery_and_before_commit(world: World) -> None:
    sink = MemoryAlertSink()
    service = world.service(sink)
    member = MemoryMember(world.topic, service)
    seen = []

    def restore(data: bytes, pieces: Iterator[bytes]) -> Shard:
        return shard_state.restore(data, settings_of(world.config, learn=False), world.profiles, pieces)

    def look(offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            shard = world.store().load(partition, restore).state
            assert shard is not None
            assert shard.next_offset == offset
        due = [a for a in world.expected() if a.document["user"]["id"] in {"attacker-3", "attacker-5"}]
        seen.append(set(by_id(due)) <= set(by_id(sink.alerts)))

    member.on_commit = look
    service.run(member, until_end=True)
    assert seen
    assert all(seen)


def test_a_stop_while_the_sink_is_down_saves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = MemoryAlertSink()
    service = world.service(sink)
    member = MemoryMember(world.topic, service)

    def stop_then_fail(alerts: Sequence[Alert]) -> Delivery:
        service.stop.set()
        raise SinkUnavailable("memory", "down")

    with monkeypatch.context() as patched:
        patched.setattr(sink, "write", stop_then_fail)
        service.run(member)
    assert world.topic.commits == {}
    assert not list((world.folder / "state").glob("*.state"))
    world.run(sink)
    assert by_id(sink.alerts) == by_id(world.expected())


def test_a_stop_while_a_write_hangs_ends_and_saves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = MemoryAlertSink()
    service = world.service(sink)
    back = threading.Event()

    def hang(alerts: Sequence[Alert]) -> Delivery:
        service.stop.set()
        back.wait()
        return Delivery(0, 0)

    monkeypatch.setattr("detector.service.LAST_SECONDS", 0.01)
    monkeypatch.setattr("detector.service.SETTLE_SECONDS", 0.01)
    monkeypatch.setattr("detector.dispatcher.CLOSE_SECONDS", 0.01)
    with monkeypatch.context() as patched:
        patched.setattr(sink, "write", hang)
        service.run(MemoryMember(world.topic, service))
        assert world.topic.commits == {}
        back.set()
    world.run(sink)
    assert by_id(sink.alerts) == by_id(world.expected())


def test_revoked_partitions_are_let_go_unsaved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service = world.service(MemoryAlertSink())
    member = MemoryMember(world.topic, service)
    poll = member.poll

    def poll_then_lose(timeout_seconds: float, max_records: int) -> list[RawBatch]:
        batches = poll(timeout_seconds, max_records)
        service.revoked([1])
        service.stop.set()
        return batches

    monkeypatch.setattr(member, "poll", poll_then_lose)
    service.run(member)
    assert set(world.topic.commits) == {0}
    assert not world.store().path(1).exists()


def test_refused_alerts_become_dead_letters(world: World) -> None:
    class Refusing(MemoryAlertSink):
        def write(self, alerts: Sequence[Alert]) -> Delivery:
            letters = [DeadLetter("rejected_by_sink", "x", a.to_json(), "m", -1, a.offset) for a in alerts]
            return Delivery(0, 0, tuple(letters))

    world.run(Refusing())
    refused = [letter for letter in world.letters.letters if letter.reason == "rejected_by_sink"]
    assert {letter.raw for letter in refused} == set(by_id(world.expected()).values())


def test_a_lost_position_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service = world.service(MemoryAlertSink())
    member = MemoryMember(world.topic, service)

    def fail(timeout_seconds: float, max_records: int) -> list[RawBatch]:
        raise SourceError("offset 5 is not in the topic", topic="topic", partition=0, offset=5)

    monkeypatch.setattr(member, "poll", fail)
    with pytest.raises(SourceError, match="offset 5"):
        service.run(member)


def middle(world: World) -> list[Alert]:
    """Run two thirds of the log, save, and tear down as a crash would; the alerts of that part."""
    whole = world.topic.partitions
    world.topic.partitions = tuple(values[: 2 * len(values) // 3] for values in whole)
    sink = MemoryAlertSink()
    world.run(sink)
    world.topic.partitions = whole
    return sink.alerts


def test_without_a_usable_state_nothing_is_told_twice_and_the_rest_is_found(world: World) -> None:
    told = middle(world)
    assert told
    for path in (world.folder / "state").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    sink = MemoryAlertSink()
    service = world.service(sink)
    service.run(MemoryMember(world.topic, service), until_end=True)
    assert set(service.rebuilt) == {0, 1}
    assert "checksum" in service.rebuilt[0]
    # The whole log fits into one session gap, so here the rebuilt sessions are the same.
    assert not by_id(told).keys() & by_id(sink.alerts).keys()
    assert by_id(told) | by_id(sink.alerts) == by_id(world.expected())
    assert len(world.letters.letters) == 1
    assert world.topic.commits == world.topic.ends()
    assert len(list((world.folder / "state").glob("*.damaged"))) == 2


def test_the_generation_before_goes_on_without_a_gap(world: World) -> None:
    told = middle(world)
    world.run(MemoryAlertSink())
    for partition in (0, 1):
        path = world.store().path(partition)
        path.write_bytes(b"x" + path.read_bytes())
    world.topic.commits.clear()
    sink = MemoryAlertSink()
    service = world.service(sink)
    service.run(MemoryMember(world.topic, service), until_end=True)
    assert service.rebuilt == {}
    assert by_id(told) | by_id(sink.alerts) == by_id(world.expected())


def test_a_recreated_topic_is_read_from_the_beginning(world: World) -> None:
    middle(world)
    world.topic.partitions = tuple(values[10:] for values in world.topic.partitions)
    world.topic.commits = {0: 40, 1: 40}
    sink = MemoryAlertSink()
    service = world.service(sink)
    member = MemoryMember(world.topic, service)
    member.topic_id = "another"
    service.run(member, until_end=True)
    assert service.rebuilt == {0: "the topic was recreated", 1: "the topic was recreated"}
    assert by_id(sink.alerts) == by_id(world.expected()) != {}


def test_a_topic_that_is_recreated_while_it_runs_is_read_from_the_beginning(world: World) -> None:
    world.config = Config(state=State(save_seconds=1e-9), pipeline=Pipeline(batch_queries=100))
    attack = traffic.lines(traffic.mixed(traffic.benign(20, seed=6), traffic.inversion(seed=7)))
    of_the_old = by_id(world.expected())
    sink = MemoryAlertSink()
    service = world.service(sink)
    member = MemoryMember(world.topic, service)

    def recreate() -> None:
        if service.account.records >= 600 and member.topic_id == "id":
            service.revoked([0, 1])
            world.topic.partitions = (attack, traffic.lines(traffic.benign(20, seed=8)))
            member.topic_id, member.positions = "another", None

    member.on_poll = recreate
    service.run(member, until_end=True)
    assert service.rebuilt == {0: "the topic was recreated", 1: "the topic was recreated"}
    told, of_the_new = by_id(sink.alerts), by_id(world.expected())
    assert of_the_new.items() <= told.items() <= (of_the_old | of_the_new).items()
    assert of_the_new
    store = world.store()
    store.topic_id = "another"
    states = [store.load(p, lambda data, pieces: data) for p in (0, 1)]
    assert [(state.position, state.recreated) for state in states] == [
        (len(values), False) for values in world.topic.partitions
    ]


def test_records_gone_by_retention_are_counted_and_reading_goes_on(world: World) -> None:
    middle(world)
    service = world.service(MemoryAlertSink())
    member = MemoryMember(world.topic, service)
    gone = {p: at + 25 for p, at in world.topic.commits.items()}
    member.first_held = gone
    service.run(member, until_end=True)
    assert service.lost == {0: 25, 1: 25}
    assert service.rebuilt == {}
    assert service.account.records == sum(len(v) - gone[p] for p, v in enumerate(world.topic.partitions)) - 1


def test_a_first_start_is_saved_before_any_record_came(world: World) -> None:
    world.topic = MemoryTopic([], [])
    world.run(MemoryAlertSink())
    assert world.topic.commits == {0: 0, 1: 0}
    assert world.store().path(0).exists()


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for what another thread does, for some seconds at most."""
    deadline = time.monotonic() + 10.0
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_the_loop_goes_on_while_a_state_is_written(world: World) -> None:
    world.config = Config(state=State(save_seconds=1e-9), pipeline=Pipeline(batch_queries=100))
    service = world.service(MemoryAlertSink())
    member = MemoryMember(world.topic, service)
    seen: list[tuple[int, dict[int, int]]] = []
    folder = os.open(world.store().directory, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # nobody can write a state until it is closed

    def look() -> None:
        seen.append((service.account.records, dict(world.topic.commits)))
        if len(seen) == 5:
            os.close(folder)

    member.on_poll = look
    service.run(member, until_end=True)
    assert [commits for _, commits in seen[:5]] == [{}] * 5
    assert 0 < seen[1][0] < seen[4][0]
    assert world.topic.commits == world.topic.ends()


def test_a_disk_that_refuses_holds_commits_back_but_no_alert(world: World) -> None:
    """/dev/full refuses every write for want of space, as a full disk does; a failed try removes the link."""
    world.config = Config(state=State(save_seconds=1e-9), pipeline=Pipeline(batch_queries=200))
    sink = MemoryAlertSink()
    service = world.service(sink)
    member = MemoryMember(world.topic, service)
    seen: list[tuple[str, int]] = []
    links = [world.store().path(partition, "partial") for partition in (0, 1)]

    def look() -> None:
        if seen:
            wait_until(lambda: not any(link.is_symlink() for link in links))
        seen.append((service.save_problem, len(world.topic.commits)))

    member.on_poll = look
    for link in links:
        link.symlink_to("/dev/full")
    service.run(member, until_end=True)
    assert seen[0] == ("", 0)
    assert [commits for problem, commits in seen if "No space left" in problem][:1] == [0]
    assert service.save_problem == ""
    assert by_id(sink.alerts) == by_id(world.expected())
    assert world.topic.commits == world.topic.ends()
