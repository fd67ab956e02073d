"""Both Kafka sources and the dead-letter topic against a real broker."""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Literal

import msgspec
import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from connectors import kafka_partitions
from connectors.kafka import KafkaDeadLetterSink, KafkaSource, check
from connectors.kafka_confluent import ConfluentSource
from connectors.kafka_partitions import TopicSource
from connectors.kafka_source import make_source
from detector.config import Kafka
from detector.errors import ConfigError, Fenced, SinkError, SinkNotReady, SinkUnavailable, SourceError
from detector.query import DeadLetter, RawBatch
from tests.conftest import TopicFactory
from tests.servers.kafka import KafkaServer

pytestmark = pytest.mark.servers

PATIENCE_SECONDS = 40.0


@dataclass
class Member:
    """A source with what it was told and what it read, by partition."""

    source: TopicSource
    assigned: list[list[int]] = field(default_factory=list)
    revoked: list[list[int]] = field(default_factory=list)
    read: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)

    def poll(self, seconds: float = 0.2) -> None:
        for batch in self.source.poll(seconds, 1000):
            rows = zip(batch.offsets, batch.values, strict=True)
            self.read.setdefault(batch.partition, []).extend(rows)

    def count(self) -> int:
        return sum(len(rows) for rows in self.read.values())

    def owned(self) -> list[int]:
        """Partitions assigned once more than revoked: it may have had all before the others came."""
        given = Counter(chain.from_iterable(self.assigned))
        given.subtract(chain.from_iterable(self.revoked))
        return sorted(partition for partition, times in given.items() if times > 0)


Join = Callable[..., Member]


@pytest.fixture
def join() -> Iterator[Join]:
    """`join(settings, saved={partition: next offset})` opens a source that is closed after the test."""
    members: list[Member] = []

    def make(
        settings: Kafka,
        saved: Mapping[int, int] | None = None,
        metadata_seconds: float = 60.0,
        instance_id: str = "",
    ) -> Member:
        def on_assigned(partitions: list[int]) -> dict[int, int | None]:
            member.assigned.append(partitions)
            return {partition: (saved or {}).get(partition) for partition in partitions}

        revoked: list[list[int]] = []
        source = make_source(
            settings,
            on_assigned=on_assigned,
            on_revoked=revoked.append,
            metadata_seconds=metadata_seconds,
            instance_id=instance_id,
        )
        member = Member(source, revoked=revoked)
        members.append(member)
        member.source.open()
        return member

    yield make
    for member in members:
        member.source.close()


Client = Literal["kafka-python", "confluent"]


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> Client:
    """Every test that reads a topic runs with both clients."""
    chosen: Client = request.param
    return chosen


@pytest.fixture
def settings(kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client) -> Kafka:
    return _settings(kafka_server, kafka_topic(), client)


def _settings(
    server: KafkaServer,
    topic: str,
    client: Client = "kafka-python",
    *,
    start: str = "earliest",
    dead_letter_topic: str = "",
) -> Kafka:
    return Kafka(
        client=client,
        bootstrap_servers=(server.bootstrap,),
        topic=topic,
        group_id=f"group-{topic}",
        start=start,
        dead_letter_topic=dead_letter_topic,
    )


def _produce(
    settings: Kafka,
    values: Sequence[bytes | None],
    *,
    partition: int = 0,
    codec: str | None = None,
    first_ms: int | None = None,
) -> None:
    producer = KafkaProducer(bootstrap_servers=list(settings.bootstrap_servers), compression_type=codec)
    try:
        for i, value in enumerate(values):
            stamp = None if first_ms is None else first_ms + i * 1000
            producer.send(settings.topic, value, key=b"k", partition=partition, timestamp_ms=stamp)
        producer.flush(timeout=30)
    finally:
        producer.close()


def _until(condition: Callable[[], bool], *members: Member, seconds: float = 0.2) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, [(m.assigned, m.revoked, m.count()) for m in members]
        for member in members:
            member.poll(seconds)


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_records_come_in_order_and_a_restart_continues_at_the_saved_offset(
    settings: Kafka, join: Join
) -> None:
    values = [f"query {i}".encode() for i in range(50)]
    _produce(settings, values)
    first = join(settings)
    _until(lambda: first.count() >= 50, first)
    assert first.read == {0: list(enumerate(values))}
    assert first.assigned == [[0]]
    assert first.source.starts[0].offset == 0
    assert first.source.starts[0].chosen_by == "earliest"
    assert first.source.lag() == {0: 0}
    assert first.source.held(0) == (0, 50)
    assert first.source.commit({0: 30})
    first.source.close()

    second = join(settings, {0: 30})
    _until(lambda: second.count() >= 20, second)
    assert second.read == {0: list(enumerate(values))[30:]}
    assert second.source.starts[0].chosen_by == "saved state"
    assert second.source.committed([0]) == {0: 30}


def test_a_poll_returns_no_more_than_asked_and_skips_nothing(settings: Kafka, join: Join) -> None:
    _produce(settings, [b"x"] * 25)
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
    settings = _settings(kafka_server, kafka_topic(), client, start="latest")
    member = join(settings, metadata_seconds=0.3)
    _until(lambda: bool(member.assigned), member, seconds=0.002)
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    try:
        admin.create_partitions({settings.topic: 3})
    finally:
        admin.close()
    for partition in (0, 1, 2):
        _produce(settings, [b"x"], partition=partition)
    _until(lambda: member.count() == 3, member, seconds=0.002)
    assert member.read == {0: [(0, b"x")], 1: [(0, b"x")], 2: [(0, b"x")]}
    assert member.assigned == [[0], [1, 2]]
    assert member.source.starts[2].chosen_by == "partition added"


def test_latest_time_follows_the_brokers_timestamps_and_a_tombstone_is_empty(
    settings: Kafka, join: Join
) -> None:
    _produce(settings, [b"a", None, b"c"], first_ms=1_700_000_000_000)
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
    _produce(settings, values, codec=codec)
    member = join(settings)
    _until(lambda: member.count() >= 2, member)
    assert [value for _, value in member.read[0]] == values


def test_start_latest_reads_only_what_comes_after(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    settings = _settings(kafka_server, kafka_topic(), client, start="latest")
    _produce(settings, [b"old"] * 5)
    member = join(settings)
    _until(lambda: bool(member.assigned), member)
    _produce(settings, [b"new"])
    _until(lambda: member.count() >= 1, member)
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
    settings = _settings(kafka_server, kafka_topic(), client, start=start)
    _produce(settings, [b"x"] * 10, first_ms=1_700_000_000_000)
    member = join(settings)
    _until(lambda: bool(member.source.starts), member)
    assert member.source.starts[0].offset == offset
    assert member.source.starts[0].chosen_by == start


@pytest.mark.parametrize("start", ["yesterday", "2026-01-01T00:00:00"])
def test_a_start_that_is_no_time_is_a_configuration_error(client: Client, start: str) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.start"):
        make_source(Kafka(client=client, start=start), on_assigned=lambda partitions: {})


def test_a_retention_gap_is_told_with_its_offsets(settings: Kafka, join: Join) -> None:
    _produce(settings, [b"x"] * 20)
    _delete_before(settings, 10)
    member = join(settings, {0: 4})
    with pytest.raises(
        SourceError, match=r"offset 4 .* holds 10 to 20 .*records 4 to 9 were deleted"
    ) as caught:
        _until(lambda: member.count() > 0, member)
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == (settings.topic, 0, 4)


def test_an_offset_beyond_the_end_is_told_not_reset(settings: Kafka, join: Join) -> None:
    _produce(settings, [b"x"] * 3)
    member = join(settings, {0: 500})
    with pytest.raises(SourceError, match=r"offset 500 .* holds 0 to 3 .*recreated"):
        _until(lambda: member.count() > 0, member)


def test_records_deleted_while_paused_are_told_not_skipped(settings: Kafka, join: Join) -> None:
    member = join(settings)
    _until(lambda: bool(member.assigned), member)
    member.source.pause()
    _produce(settings, [b"x"] * 20)
    _delete_before(settings, 10)
    member.source.resume()
    with pytest.raises(SourceError, match=r"offset 0 .* holds 10 to 20 .*records 0 to 9 were deleted"):
        _until(lambda: member.count() > 0, member)


def _delete_before(settings: Kafka, offset: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))
    try:
        admin.delete_records({TopicPartition(settings.topic, 0): offset})
    finally:
        admin.close()


def test_a_paused_member_reads_nothing_keeps_its_place_and_continues(settings: Kafka, join: Join) -> None:
    member = join(settings)
    _produce(settings, [b"one"])
    _until(lambda: member.count() == 1, member)
    member.source.pause()
    _produce(settings, [b"two"])
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        member.poll()
    assert member.count() == 1
    assert member.source.lag() == {0: 1}
    member.source.resume()
    _until(lambda: member.count() == 2, member)
    assert member.read == {0: [(0, b"one"), (1, b"two")]}
    assert member.revoked == []


def test_a_partition_that_went_and_came_back_between_two_polls_is_read_on(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, join: Join
) -> None:
    # kafka-python 3.0.12 alone keeps the records that it holds of it for ever, and fetches no others.
    settings = _settings(kafka_server, kafka_topic(partitions=2))
    for partition in (0, 1):
        _produce(settings, [b"x"] * 100, partition=partition)
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
    _until(lambda: member.count() == 200, member)
    assert member.assigned == [[0, 1], [away]]


def test_two_members_share_the_partitions_and_one_takes_over(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    settings = _settings(kafka_server, kafka_topic(partitions=2), client)
    for partition in (0, 1):
        _produce(settings, [b"before"] * 5, partition=partition)
    first = join(settings)
    _until(lambda: first.count() == 10, first)
    assert first.assigned == [[0, 1]]

    second = join(settings, {0: 5, 1: 5})
    _until(lambda: bool(second.assigned) and bool(first.revoked), first, second)
    (moved,), (kept,) = first.revoked[0], {0, 1} - set(first.revoked[0])
    assert second.assigned == [[moved]]
    assert first.assigned == [[0, 1]], "what a member keeps is not assigned to it again"

    for partition in (0, 1):
        _produce(settings, [b"after"], partition=partition)
    _until(lambda: second.count() == 1 and first.count() == 11, first, second)
    assert second.read == {moved: [(5, b"after")]}
    assert first.read[kept][-1] == (5, b"after")

    assert first.source.commit({moved: 1, kept: 6}), "a partition of the other member is left out"
    assert first.source.committed([moved, kept]) == {moved: None, kept: 6}

    second.source.close()
    _until(lambda: len(first.assigned) == 2, first)
    assert first.assigned[1] == [moved]
    assert first.revoked == [[moved]]


def test_of_two_members_with_one_static_id_the_older_is_told_to_end(settings: Kafka, join: Join) -> None:
    older = join(settings, instance_id="worker-1")
    _until(lambda: older.assigned == [[0]], older)
    newer = join(settings, instance_id="worker-1")
    _until(lambda: newer.assigned == [[0]], newer)
    with pytest.raises(Fenced, match=r"another process has joined group .* as 'worker-1'"):
        _until(lambda: False, older)
    with pytest.raises(Fenced):
        older.source.commit({0: 1})
    older.source.close()
    assert newer.source.commit({0: 1}), "the place is still the newer one's"


def test_a_static_member_that_ends_in_order_leaves_its_place(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, client: Client, join: Join
) -> None:
    settings = _settings(kafka_server, kafka_topic(partitions=2), client)
    first = join(settings, instance_id="worker-1")
    second = join(settings, instance_id="worker-2")
    _until(lambda: bool(first.assigned) and bool(second.assigned), first, second)
    _until(lambda: bool(first.revoked or second.revoked or len(first.assigned[0]) == 1), first, second)
    second.source.close()
    # The broker itself would wait 45 s for a static member, longer than this test does.
    _until(lambda: first.owned() == [0, 1], first)


def test_a_new_member_is_paused_too_while_the_sink_is_down(settings: Kafka, join: Join) -> None:
    _produce(settings, [b"one", b"two"])
    member = join(settings, {0: 1})
    member.source.pause()
    _until(lambda: bool(member.assigned), member)
    for _ in range(5):
        member.poll()
    assert member.count() == 0
    member.source.resume()
    _until(lambda: member.count() == 1, member)
    assert member.read == {0: [(1, b"two")]}


@pytest.mark.parametrize("names", [("kafka-python", "confluent"), ("confluent", "kafka-python")])
def test_members_of_both_clients_share_a_group(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, join: Join, names: tuple[Client, Client]
) -> None:
    settings = _settings(kafka_server, kafka_topic(partitions=2), names[0])
    first = join(settings)
    _until(lambda: first.assigned == [[0, 1]], first)
    second = join(msgspec.structs.replace(settings, client=names[1]))
    _until(lambda: bool(second.assigned) and bool(first.revoked), first, second)
    assert second.assigned == first.revoked


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
    _until(lambda: member.count() == 1 and member.source.lag() == {0: 0}, member)
    assert member.read == {0: [(0, b"kept")]}
    assert member.source.offset_at(0, 32_503_680_000.0) == 4


def test_an_unfinished_transaction_is_not_read(settings: Kafka, join: Join) -> None:
    producer = _transactional(settings)
    producer.begin_transaction()
    producer.produce(settings.topic, b"open", partition=0)
    producer.flush(30)
    _produce(settings, [b"after"])
    member = join(settings)
    _until(lambda: bool(member.assigned), member)
    for _ in range(5):
        member.poll()
    assert member.count() == 0
    assert member.source.lag() == {0: 0}
    producer.commit_transaction(30)
    _until(lambda: member.count() == 2, member)


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
    settings = _settings(kafka_server, kafka_topic(partitions=2), client, start="latest")
    member = join(settings)
    _until(lambda: member.assigned == [[0, 1]], member)
    for partition in (0, 1):
        _produce(settings, [b"old"] * 10, partition=partition)
    _until(lambda: member.count() == 20, member)
    before = member.source.topic_id
    kafka_server.recreate_topic(settings.topic, 2)
    time.sleep(kafka_partitions.SURE_SECONDS)
    member.read.clear()
    for partition in (0, 1):
        _produce(settings, [b"new"] * records, partition=partition)
    _until(lambda: member.count() == 2 * records, member)
    new = [(offset, b"new") for offset in range(records)]
    assert member.read == {0: new, 1: new}
    assert member.revoked == [[0, 1]]
    assert member.owned() == [0, 1]
    assert member.source.topic_id not in {"", before}
    assert member.source.commit({0: records})


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


def test_dead_letters_are_kept_whole_with_reason_and_position(
    kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    settings = _settings(kafka_server, "queries", dead_letter_topic=kafka_topic())
    letters = [
        DeadLetter("not_json", "é is no JSON", b"\xff\x00{", "queries", 3, 17),
        DeadLetter("too_large", "5 MB", b"0" * 3_000_000, "queries", 3, 18),
        DeadLetter("missing_field", "no timestamp", b"", "queries", 3, 19),
    ]
    sink = KafkaDeadLetterSink(settings)
    sink.open()
    try:
        sink.write_dead_letters(letters)
    finally:
        sink.close()
    assert _read_letters(settings) == letters


def _read_letters(settings: Kafka) -> list[DeadLetter]:
    consumer = KafkaConsumer(
        settings.dead_letter_topic,
        bootstrap_servers=list(settings.bootstrap_servers),
        auto_offset_reset="earliest",
        consumer_timeout_ms=3000,
    )
    letters = []
    try:
        for record in consumer:
            head = {key: value.decode() for key, value in record.headers}
            position = int(head["partition"]), int(head["offset"])
            letters.append(
                DeadLetter(head["reason"], head["detail"], record.value, head["source"], *position)
            )
    finally:
        consumer.close()
    return letters


def test_a_dead_letter_that_the_topic_cannot_take_is_an_error_not_a_loss(
    kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic(1, {"max.message.bytes": "2000"})
    sink = KafkaDeadLetterSink(_settings(kafka_server, "queries", dead_letter_topic=topic))
    sink.open()
    noise = bytes(hash((i, 7)) & 255 for i in range(20_000))
    try:
        with pytest.raises(SinkError, match=r"offset 18 .*max\.message\.bytes"):
            sink.write_dead_letters([DeadLetter("not_json", "", noise, "queries", 0, 18)])
    finally:
        sink.close()


def test_a_missing_dead_letter_topic_is_not_ready(kafka_server: KafkaServer) -> None:
    sink = KafkaDeadLetterSink(_settings(kafka_server, "queries", dead_letter_topic="no-such-topic"))
    with pytest.raises(SinkNotReady, match=r"no topic 'no-such-topic'.*--create"):
        sink.open()
