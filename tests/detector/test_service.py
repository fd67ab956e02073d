"""The service's loop: delivery, then state, then commit; nothing lost while a sink is down."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from connectors.base import Delivery
from connectors.memory import MemoryAlertSink
from detector import shard_state
from detector.alert import Alert
from detector.config import Config, Pipeline, State
from detector.edge import settings_of
from detector.errors import SinkNotReady, SinkUnavailable, SourceError
from detector.pipeline import Shard
from detector.query import DeadLetter, RawBatch
from detector.service import Service
from tests.detector.world import (
    FailingSink,
    MemoryMember,
    MemoryTopic,
    World,
    by_id,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("fast", "saved")


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


def test_a_first_start_is_saved_before_any_record_came(world: World) -> None:
    world.topic = MemoryTopic([], [])
    world.run(MemoryAlertSink())
    assert world.topic.commits == {0: 0, 1: 0}
    assert world.store().path(0).exists()


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
