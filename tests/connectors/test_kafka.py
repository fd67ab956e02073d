"""Both Kafka sources against a real broker."""

from __future__ import annotations

import socket
import sys
import time
from datetime import UTC, datetime

import msgspec
import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition

from connectors import kafka_partitions
from connectors.kafka import KafkaDeadLetterSink, KafkaSource, check
from connectors.kafka_confluent import ConfluentSource
from connectors.kafka_source import make_source
from detector.config import Kafka
from detector.errors import ConfigError, SinkUnavailable, SourceError
from detector.query import RawBatch
from tests.conftest import TopicFactory
from tests.connectors.members import PATIENCE_SECONDS, Client, Join, make_settings, produce, until
from tests.servers.kafka import KafkaServer

pytestmark = pytest.mark.servers


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_records_come_in_order_and_a_restart_continues_at_the_saved_offset(
    settings: Kafka, join: Join
) -> None:
    values = [f"query {i}".encode() for i in range(50)]
    produce(settings, values)
    first = join(settings)
    until(lambda: first.count() >= 50, first)
    assert first.read == {0: list(enumerate(values))}
    assert first.assigned == [[0]]
    assert first.source.starts[0].offset == 0
    assert first.source.starts[0].chosen_by == "earliest"
    assert first.source.lag() == {0: 0}
    assert first.source.held(0) == (0, 50)
    until(lambda: first.source.commit({0: 30}), first)
    first.source.close()

    second = join(settings, {0: 30})
    until(lambda: second.count() >= 20, second)
    assert second.read == {0: list(enumerate(values))[30:]}
    assert second.source.starts[0].chosen_by == "saved state"
    assert second.source.committed([0]) == {0: 30}


def test_a_poll_returns_no_more_than_asked_and_skips_nothing(settings: Kafka, join: Join) -> None:
    produce(settings, [b"x"] * 25)
    member = join(settings)
    deadline = time.monotonic() + PATIENCE_SECONDS
    sizes: list[int] = []
    while sum(sizes) < 25 and time.monotonic() < deadline:
        sizes += [len(batch.values) for batch in member.source.poll(0.2, 7)]
    assert sum(sizes) == 25
    assert max(sizes) <= 7


def test_added_partitions_are_read_from_their_first_record(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    # Polls are shorter than the rebalance takes: kafka-python 3.0.12 alone then stalls for ever, in silence.
    settings = make_settings(kafka_server, kafka_topic(), client, start="latest")
    member = join(settings, metadata_seconds=0.3)
    until(lambda: bool(member.assigned), member, seconds=0.002)
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    try:
        admin.create_partitions({settings.topic: 3})
    finally:
        admin.close()
    for partition in (0, 1, 2):
        produce(settings, [b"x"], partition=partition)
    until(lambda: member.count() == 3, member, seconds=0.002)
    assert member.read == {0: [(0, b"x")], 1: [(0, b"x")], 2: [(0, b"x")]}
    assert member.assigned == [[0], [1, 2]]
    assert member.source.starts[2].chosen_by == "partition added"


def test_latest_time_follows_the_brokers_timestamps_and_a_tombstone_is_empty(
    settings: Kafka, join: Join
) -> None:
    produce(settings, [b"a", None, b"c"], first_ms=1_700_000_000_000)
    member = join(settings)
    batches: list[RawBatch] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not batches and time.monotonic() < deadline:
        batches = member.source.poll(0.2, 100)
    assert batches[0].values == [b"a", b"", b"c"]
    assert batches[0].source == settings.topic
    assert batches[0].latest == 1_700_000_002.0 + 86_400.0


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_kafka_is_read(settings: Kafka, join: Join, codec: str) -> None:
    values = [b"0.1,0.2," * 40_000, b"small"]  # one record unpacks to more than a codec's first buffer
    produce(settings, values, codec=codec)
    member = join(settings)
    until(lambda: member.count() >= 2, member)
    assert [value for _, value in member.read[0]] == values


def test_start_latest_reads_only_what_comes_after(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    settings = make_settings(kafka_server, kafka_topic(), client, start="latest")
    produce(settings, [b"old"] * 5)
    member = join(settings)
    until(lambda: bool(member.assigned), member)
    produce(settings, [b"new"])
    until(lambda: member.count() >= 1, member)
    assert member.read == {0: [(5, b"new")]}


@pytest.mark.parametrize(("seconds", "offset"), [(0, 0), (3, 3), (2.5, 3), (100, 10)])
def test_start_at_a_time(
    kafka_server: KafkaServer,
    kafka_topic: TopicFactory,
    client: Client,
    join: Join,
    seconds: float,
    offset: int,
) -> None:
    start = datetime.fromtimestamp(1_700_000_000 + seconds, UTC).isoformat()
    settings = make_settings(kafka_server, kafka_topic(), client, start=start)
    produce(settings, [b"x"] * 10, first_ms=1_700_000_000_000)
    member = join(settings)
    until(lambda: bool(member.source.starts), member)
    assert member.source.starts[0].offset == offset
    assert member.source.starts[0].chosen_by == start


@pytest.mark.parametrize("start", ["yesterday", "2026-01-01T00:00:00"])
def test_a_start_that_is_no_time_is_a_configuration_error(client: Client, start: str) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.start"):
        make_source(Kafka(client=client, start=start), on_assigned=lambda partitions: {})


def test_a_retention_gap_is_told_with_its_offsets(settings: Kafka, join: Join) -> None:
    produce(settings, [b"x"] * 20)
    _delete_before(settings, 10)
    member = join(settings, {0: 4})
    with pytest.raises(
        SourceError, match=r"offset 4 .* holds 10 to 20 .*records 4 to 9 were deleted"
    ) as caught:
        until(lambda: member.count() > 0, member)
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (settings.topic, 0, 4)


def test_an_offset_beyond_the_end_is_told_not_reset(settings: Kafka, join: Join) -> None:
    produce(settings, [b"x"] * 3)
    member = join(settings, {0: 500})
    with pytest.raises(SourceError, match=r"offset 500 .* holds 0 to 3 .*recreated"):
        until(lambda: member.count() > 0, member)


def test_records_deleted_while_paused_are_told_not_skipped(settings: Kafka, join: Join) -> None:
    member = join(settings)
    until(lambda: bool(member.assigned), member)
    member.source.pause()
    produce(settings, [b"x"] * 20)
    _delete_before(settings, 10)
    member.source.resume()
    with pytest.raises(SourceError, match=r"offset 0 .* holds 10 to 20 .*records 0 to 9 were deleted"):
        until(lambda: member.count() > 0, member)


def _delete_before(settings: Kafka, offset: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))
    try:
        admin.delete_records({TopicPartition(settings.topic, 0): offset})
    finally:
        admin.close()


def test_a_paused_member_reads_nothing_keeps_its_place_and_continues(settings: Kafka, join: Join) -> None:
    member = join(settings)
    produce(settings, [b"one"])
    until(lambda: member.count() == 1, member)
    member.source.pause()
    produce(settings, [b"two"])
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        member.poll()
    assert member.count() == 1
    assert member.source.lag() == {0: 1}
    member.source.resume()
    until(lambda: member.count() == 2, member)
    assert member.read == {0: [(0, b"one"), (1, b"two")]}
    assert member.revoked == []


def _transactional(settings: Kafka) -> Producer:
    servers = settings.bootstrap_servers[0]
    producer = Producer({"bootstrap.servers": servers, "transactional.id": settings.topic, "log_level": 0})
    producer.init_transactions(30)
    return producer


def test_markers_of_transactions_are_no_lag(settings: Kafka, join: Join) -> None:
    producer = _transactional(settings)
    for value, commit in ((b"kept", True), (b"undone", False)):
        producer.begin_transaction()
        producer.produce(settings.topic, value, partition=0)
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    member = join(settings)
    until(lambda: member.count() == 1 and member.source.lag() == {0: 0}, member)
    assert member.read == {0: [(0, b"kept")]}
    assert member.source.offset_at(0, 32_503_680_000.0) == 4


def test_an_unfinished_transaction_is_not_read(settings: Kafka, join: Join) -> None:
    producer = _transactional(settings)
    producer.begin_transaction()
    producer.produce(settings.topic, b"open", partition=0)
    producer.flush(30)
    produce(settings, [b"after"])
    member = join(settings)
    until(lambda: bool(member.assigned), member)
    for _ in range(5):
        member.poll()
    assert member.count() == 0
    assert member.source.lag() == {0: 0}
    producer.commit_transaction(30)
    until(lambda: member.count() == 2, member)


def test_a_client_that_is_not_installed_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.delitem(sys.modules, "connectors.kafka_confluent")
    monkeypatch.delitem(sys.modules, "connectors.kafka_confluent_errors")
    with pytest.raises(ConfigError, match=r"^kafka\.client: [^\n]*pip install 'querywatch\[confluent\]'"):
        make_source(Kafka(client="confluent"), on_assigned=lambda partitions: {})


def test_the_configured_client_is_the_one_that_reads() -> None:
    kinds = {
        type(make_source(Kafka(client=client), on_assigned=lambda partitions: {}))
        for client in ("kafka-python", "confluent")
    }
    assert kinds == {KafkaSource, ConfluentSource}


def test_check_says_what_is_there_and_what_to_do(settings: Kafka) -> None:
    assert check(settings).endswith(f"topic '{settings.topic}' has 1 partition")
    missing = msgspec.structs.replace(settings, topic="not-there")
    with pytest.raises(
        SourceError, match=r"no topic 'not-there'.*kafka-topics\.sh .*--create --topic not-there"
    ):
        check(missing)
    with pytest.raises(SourceError, match=r"no topic 'not-there'"):
        make_source(missing, on_assigned=lambda partitions: {}).open()


@pytest.mark.parametrize("records", [5, 10, 20])
def test_a_topic_that_is_recreated_while_it_is_read_is_read_from_its_first_record(
    monkeypatch: pytest.MonkeyPatch,
    kafka_server: KafkaServer,
    kafka_topic: TopicFactory,
    client: Client,
    join: Join,
    records: int,
) -> None:
    monkeypatch.setattr(kafka_partitions, "IDLE_SECONDS", 2.0)
    settings = make_settings(kafka_server, kafka_topic(partitions=2), client, start="latest")
    member = join(settings)
    until(lambda: member.assigned == [[0, 1]], member)
    for partition in (0, 1):
        produce(settings, [b"old"] * 10, partition=partition)
    until(lambda: member.count() == 20, member)
    before = member.source.topic_id
    kafka_server.recreate_topic(settings.topic, 2)
    time.sleep(kafka_partitions.SURE_SECONDS)
    member.read.clear()
    for partition in (0, 1):
        produce(settings, [b"new"] * records, partition=partition)
    until(lambda: member.count() == 2 * records, member)
    new = [(offset, b"new") for offset in range(records)]
    assert member.read == {0: new, 1: new}
    assert member.revoked == [[0, 1]]
    assert member.owned() == [0, 1]
    assert member.source.topic_id not in {"", before}
    until(lambda: member.source.commit({0: records}), member)


def test_what_is_read_of_a_recreated_topic_before_that_is_noticed_is_read_again_from_the_first_record(
    monkeypatch: pytest.MonkeyPatch, settings: Kafka, kafka_server: KafkaServer, join: Join
) -> None:
    monkeypatch.setattr(kafka_partitions, "SURE_SECONDS", 3.0)
    monkeypatch.setattr(kafka_partitions, "IDLE_SECONDS", 3.0)
    produce(settings, [b"old"] * 10)
    member = join(settings)
    until(lambda: member.count() == 10, member)
    kafka_server.recreate_topic(settings.topic, 1)
    produce(settings, [b"new"] * 20)
    new = [(offset, b"new") for offset in range(20)]
    until(lambda: new[0] in member.read[0] and member.read[0][-1] == new[-1], member)
    assert member.read[0][-20:] == new
    assert member.read[0][10:-20] in ([], new[10:]), "behind the old position, if anything"


def test_no_broker_is_one_clear_line_within_seconds(
    capfd: pytest.CaptureFixture[str], client: Client
) -> None:
    settings = Kafka(bootstrap_servers=(f"127.0.0.1:{_closed_port()}",), client=client)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"^no Kafka broker answers at 127\.0\.0\.1:[^\n]*refused[^\n]*$"):
        make_source(settings, on_assigned=lambda partitions: {}).open()
    with pytest.raises(SinkUnavailable, match="no Kafka broker answers"):
        KafkaDeadLetterSink(settings).open()
    assert time.monotonic() - began < 5.0
    assert capfd.readouterr() == ("", "")


def test_a_missing_authority_file_is_named() -> None:
    settings = Kafka(security_protocol="SSL", ca_file="missing.pem")
    with pytest.raises(SourceError, match=r"kafka\.ca_file"):
        check(settings)
