"""Where a service goes on: with the state before, without a state, on another topic, behind a gap."""

from __future__ import annotations

import pytest

from connectors.memory import MemoryAlertSink
from detector.alert import Alert
from detector.config import Config, Pipeline, State
from tests import traffic
from tests.detector.world import (
    MemoryMember,
    World,
    by_id,
)

pytestmark = pytest.mark.usefixtures("fast", "saved")


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
