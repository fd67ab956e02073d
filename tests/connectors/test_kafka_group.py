"""How partitions go from member to member of a group, with both clients and a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Partition
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import MemberToRemove
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment

from connectors.kafka import KafkaSource, check
from connectors.kafka_confluent import ConfluentSource
from connectors.kafka_confluent_group import Cooperative, Eager, Group
from connectors.kafka_group import Rebalances
from connectors.kafka_partitions import Events
from connectors.kafka_source import make_source
from detector.config import Kafka
from detector.errors import Fenced, SourceError, StateError
from detector.query import RawBatch
from tests.conftest import TopicFactory
from tests.connectors.members import (
    PATIENCE_SECONDS,
    Client,
    Join,
    Member,
    Rebalance,
    make_settings,
    produce,
    until,
)
from tests.servers.kafka import KafkaServer

pytestmark = pytest.mark.servers


def test_a_partition_that_went_and_came_back_between_two_polls_is_read_on(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, join: Join
) -> None:
    # kafka-python 3.0.12 alone keeps the records that it holds of it for ever, and fetches no others.
    settings = make_settings(kafka_server, kafka_topic(partitions=2), rebalance="eager")
    for partition in (0, 1):
        produce(settings, [b"x"] * 100, partition=partition)
    member = join(settings)
    source = member.source
    assert isinstance(source, KafkaSource)
    first: list[RawBatch] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not first and time.monotonic() < deadline:
        first = source.poll(0.2, 10)
    away = first[0].partition
    time.sleep(0.5)  # records of the other partition are there by now
    subscription = source._consumer._subscription
    for partitions in ({1 - away}, {0, 1}):
        tps = [TopicPartition(settings.topic, partition) for partition in sorted(partitions)]
        subscription.assign_from_subscribed(tps)
        subscription.rebalance_listener.on_partitions_assigned(tps)
    until(lambda: member.count() == 200, member)
    assert member.assigned == [[0, 1], [away]]


@pytest.mark.parametrize("rebalance", ["cooperative", "eager"])
def test_two_members_share_the_partitions_and_one_takes_over(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join, rebalance: Rebalance
) -> None:
    settings = make_settings(kafka_server, kafka_topic(partitions=2), client, rebalance=rebalance)
    for partition in (0, 1):
        produce(settings, [b"before"] * 5, partition=partition)
    first = join(settings)
    until(lambda: first.count() == 10, first)
    assert first.assigned == [[0, 1]]

    second = join(settings, {0: 5, 1: 5})
    until(lambda: bool(second.assigned) and bool(first.revoked), first, second)
    (moved,), (kept,) = first.revoked[0], {0, 1} - set(first.revoked[0])
    assert second.assigned == [[moved]]
    assert first.assigned == [[0, 1]], "what a member keeps is not assigned to it again"

    for partition in (0, 1):
        produce(settings, [b"after"], partition=partition)
    until(lambda: second.count() == 1 and first.count() == 11, first, second)
    assert second.read == {moved: [(5, b"after")]}
    assert first.read[kept][-1] == (5, b"after")

    # A partition of the other member is left out.
    until(lambda: first.source.commit({moved: 1, kept: 6}), first, second)
    on_the_way_out = 3 if rebalance == "cooperative" else None
    assert first.source.committed([moved, kept]) == {moved: on_the_way_out, kept: 6}

    second.source.close()
    until(lambda: len(first.assigned) == 2, first)
    assert first.assigned[1] == [moved]
    assert first.revoked == [[moved]]


def test_of_two_members_with_one_static_id_the_older_is_told_to_end(settings: Kafka, join: Join) -> None:
    older = join(settings, instance_id="worker-1")
    until(lambda: older.assigned == [[0]], older)
    newer = join(settings, instance_id="worker-1")
    until(lambda: newer.assigned == [[0]], newer)
    with pytest.raises(Fenced, match=r"another process has joined group .* as 'worker-1'"):
        until(lambda: False, older)
    with suppress(Fenced):
        assert not older.source.commit({0: 1})
    assert newer.source.committed([0]) == {0: None}
    older.source.close()
    until(lambda: newer.source.commit({0: 1}), newer)  # the place is still the newer one's


def test_a_static_member_that_ends_in_order_leaves_its_place(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    settings = make_settings(kafka_server, kafka_topic(partitions=2), client)
    first = join(settings, instance_id="worker-1")
    second = join(settings, instance_id="worker-2")
    until(lambda: bool(first.assigned) and bool(second.assigned), first, second)
    until(lambda: bool(first.revoked or second.revoked or len(first.assigned[0]) == 1), first, second)
    second.source.close()
    # The broker itself would wait 45 s for a static member, longer than this test does.
    until(lambda: first.owned() == [0, 1], first)


def test_a_new_member_is_paused_too_while_the_sink_is_down(settings: Kafka, join: Join) -> None:
    produce(settings, [b"one", b"two"])
    member = join(settings, {0: 1})
    member.source.pause()
    until(lambda: bool(member.assigned), member)
    for _ in range(5):
        member.poll()
    assert member.count() == 0
    member.source.resume()
    until(lambda: member.count() == 1, member)
    assert member.read == {0: [(1, b"two")]}


@pytest.mark.parametrize("names", [("kafka-python", "confluent"), ("confluent", "kafka-python")])
@pytest.mark.parametrize("rebalance", ["cooperative", "eager"])
def test_members_of_both_clients_share_a_group(
    kafka_server: KafkaServer,
    kafka_topic: TopicFactory,
    join: Join,
    names: tuple[Client, Client],
    rebalance: Rebalance,
) -> None:
    settings = make_settings(kafka_server, kafka_topic(partitions=4), names[0], rebalance=rebalance)
    first = join(settings)
    until(lambda: first.assigned == [[0, 1, 2, 3]], first)
    second = join(msgspec.structs.replace(settings, client=names[1]))
    until(lambda: bool(second.assigned) and bool(first.revoked), first, second)
    assert second.assigned == first.revoked
    assert len(second.owned()) == 2
    second.source.close()
    until(lambda: len(first.owned()) == 4, first)


def test_what_a_member_keeps_is_read_on_while_the_group_waits_for_another(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    settings = make_settings(kafka_server, kafka_topic(partitions=3), client)
    first = join(settings)
    # Of the two clients only this one rejoins no sooner than it is polled.
    busy = join(msgspec.structs.replace(settings, client="kafka-python"))
    until(lambda: sorted(first.owned() + busy.owned()) == [0, 1, 2] and len(busy.owned()) > 0, first, busy)
    third = join(settings)
    group = _Group(settings)
    until(lambda: group.state() == "PreparingRebalance", first, third)
    kept = first.owned()
    for partition in kept:
        produce(settings, [b"x"] * 5, partition=partition)
    until(lambda: first.count() == 5 * len(kept), first, third)
    assert group.state() == "PreparingRebalance"
    assert third.assigned == []
    until(lambda: len(first.owned()) == len(busy.owned()) == len(third.owned()) == 1, first, busy, third)
    owned = first.owned() + busy.owned() + third.owned()
    assert sorted(owned) == [0, 1, 2]
    assert first.count() == 5 * len(kept), "read on, not again"


def test_a_member_that_the_group_gave_up_loses_what_it_had_and_comes_back(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    settings = make_settings(kafka_server, kafka_topic(partitions=2), client)
    member = join(settings)
    until(lambda: member.assigned == [[0, 1]], member)
    _Group(settings).remove_members()
    until(lambda: len(member.assigned) == 2, member)
    assert member.assigned == [[0, 1], [0, 1]]
    assert member.revoked == [[0, 1]]
    assert member.source.committed([0, 1]) == {0: None, 1: None}, "what is lost is not committed"
    produce(settings, [b"x"])
    until(lambda: member.count() == 1, member)
    until(lambda: member.source.commit({0: 1}), member)


@pytest.mark.parametrize("rebalance", ["cooperative", "eager"])
def test_a_member_can_be_closed_before_it_was_told_what_a_rebalance_takes(
    kafka_server: KafkaServer,
    kafka_topic: TopicFactory,
    join: Join,
    rebalance: Rebalance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[tuple[list[Partition], bool]] = []

    class Watched(Consumer):
        def close(self) -> None:
            assert isinstance(first.source, ConfluentSource)
            held.append((self.assignment(), first.source._group.holds()))
            super().close()

    # kafka-python takes no part in a rebalance before it is polled.
    settings = make_settings(kafka_server, kafka_topic(partitions=2), "confluent", rebalance=rebalance)
    with monkeypatch.context() as patch:
        patch.setattr("connectors.kafka_confluent.Consumer", Watched)
        first = join(settings)
    until(lambda: first.assigned == [[0, 1]], first)
    second = join(settings)
    group = _Group(settings)
    told = "Stable" if rebalance == "cooperative" else "PreparingRebalance"
    until(lambda: group.members() == 2 and group.state() == told, second)
    first.source.close()
    assert held == [([], False)], "nothing is left for the client to ask while it is being closed"
    until(lambda: second.owned() == [0, 1], second)


def test_what_the_caller_raises_while_partitions_go_comes_out_of_poll(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client
) -> None:
    def refuse(_: list[int]) -> None:
        raise StateError("disk full")

    settings = make_settings(kafka_server, kafka_topic(partitions=2), client)
    first, second = (
        make_source(settings, on_assigned=dict.fromkeys, on_revoked=on_revoked)
        for on_revoked in (refuse, lambda _: None)
    )
    with closing(first), closing(second):
        first.open()
        until(lambda: first.lag() != {}, Member(first))
        second.open()
        with pytest.raises(StateError, match="disk full"):
            until(lambda: False, Member(first), Member(second))


@pytest.mark.parametrize("rebalance", ["cooperative", "eager"])
def test_an_attempt_to_join_that_ends_between_two_polls_is_taken_up(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, join: Join, rebalance: Rebalance
) -> None:
    # kafka-python 3.0.12 alone throws it away and joins anew, as long as polls are shorter than that takes.
    member = join(make_settings(kafka_server, kafka_topic(), rebalance=rebalance))
    deadline = time.monotonic() + 10.0
    while not member.assigned and time.monotonic() < deadline:
        member.poll(0.001)
        time.sleep(0.2)
    assert member.assigned == [[0]]


@pytest.mark.parametrize("group", [Cooperative(Events(), lambda: None), Eager(Events())])
@pytest.mark.parametrize("callback", ["on_assign", "on_revoke", "on_lost"])
def test_a_callback_of_confluent_kafka_raises_nothing_of_its_own(group: Group, callback: str) -> None:
    # On a busy machine the client calls back when it is being closed, and does not answer any more.
    consumer = Consumer({"bootstrap.servers": "127.0.0.1:9", "group.id": "g", "log_level": 2})
    consumer.close()
    getattr(group, callback)(consumer, [Partition("queries", 0)])
    with pytest.raises(RuntimeError, match="closed"):
        group.raise_kept()
    group.raise_kept()


def test_a_member_that_lost_its_place_claims_nothing() -> None:
    # kafka-python 3.0.12 alone goes on to say that it owns what another member has by now.
    group = Rebalances(Events(), cooperative=True)
    (assignor,) = group.assignors
    assignor.on_assignment(ConsumerProtocolAssignment(1, [("queries", [0, 1])], b""), 7)
    assert assignor.metadata({"queries"}).owned_partitions != []
    group.on_partitions_lost([TopicPartition("queries", 0), TopicPartition("queries", 1)])
    assert assignor.metadata({"queries"}).owned_partitions == []


@pytest.mark.parametrize("rebalance", ["cooperative", "eager"])
def test_a_member_that_rebalances_in_another_way_is_told_and_comes_in_when_the_others_are_gone(
    settings: Kafka, join: Join, rebalance: Rebalance
) -> None:
    other = "eager" if rebalance == "cooperative" else "cooperative"
    first = join(msgspec.structs.replace(settings, rebalance=other))
    until(lambda: bool(first.assigned), first)
    settings = msgspec.structs.replace(settings, rebalance=rebalance)
    told = (
        rf"^group '{settings.group_id}' has members that rebalance in another way[^\n]*'{rebalance}'[^\n]*$"
    )
    second = join(settings)
    with pytest.raises(SourceError, match=told):
        until(lambda: False, second)
    with pytest.raises(SourceError, match=told):
        check(settings)
    first.source.close()

    def polled() -> bool:
        with suppress(SourceError):
            second.poll()
        return bool(second.assigned)

    until(polled)
    assert "1 partition" in check(settings)


class _Group:
    """What the broker knows of the group of `settings`."""

    def __init__(self, settings: Kafka) -> None:
        self._settings = settings

    def state(self) -> str:
        return str(self._ask(lambda admin: admin.describe_groups([self._settings.group_id]))["group_state"])

    def members(self) -> int:
        return len(self._ask(lambda admin: admin.describe_groups([self._settings.group_id]))["members"])

    def remove_members(self) -> None:
        name = self._settings.group_id
        members = self._ask(lambda admin: admin.describe_groups([name]))["members"]
        gone = [MemberToRemove(member_id=member["member_id"]) for member in members]
        self._ask(lambda admin: admin.remove_group_members(name, gone))

    def _ask(self, question: Callable[[KafkaAdminClient], Any]) -> Any:
        admin = KafkaAdminClient(bootstrap_servers=list(self._settings.bootstrap_servers))
        try:
            return question(admin).get(self._settings.group_id)
        finally:
            admin.close()
