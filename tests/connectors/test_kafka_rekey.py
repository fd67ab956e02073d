"""`querywatch rekey` against a real broker: each record once, under its client, whatever is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from connectors import kafka_rekey
from connectors.formats.native import NativeDecoder
from connectors.kafka_rekey import TopicRekey
from connectors.kafka_transactions import HEADER
from detector.config import Config, Kafka, Pipeline
from detector.errors import Fenced, SinkNotReady, SourceError, UsageError
from detector.rekey import keys_by, rekey
from tests.conftest import TopicFactory
from tests.servers.kafka import KafkaServer

ROOT = Path(__file__).resolve().parent.parent.parent
DECODER = NativeDecoder(record_bytes=1 << 20, nesting=16, input_length=64)
servers = pytest.mark.servers
PATIENCE_SECONDS = 30.0


def _query(n: int, client: str) -> bytes:
    return msgspec.json.encode({"timestamp": 1e9 + n, "model_id": "m", "client_id": client, "input": [n, 1]})


def _produce(server: KafkaServer, topic: str, values: Mapping[int, list[bytes]]) -> None:
    """Values by partition, keyed by nothing; the broker's times grow evenly over all partitions."""
    producer = KafkaProducer(bootstrap_servers=server.bootstrap, linger_ms=20)
    begin = int(time.time() * 1000) - 60_000  # not so old that retention takes them
    for partition, rows in values.items():
        for n, value in enumerate(rows):
            at = begin + n * len(values) + partition
            producer.send(topic, value=value, partition=partition, timestamp_ms=at)
    producer.flush()
    producer.close()


def _spread(records: int, partitions: int, clients: int = 7) -> dict[int, list[bytes]]:
    """Query n in partition n mod partitions, from client n mod clients."""
    values: dict[int, list[bytes]] = {p: [] for p in range(partitions)}
    for n in range(records):
        values[n % partitions].append(_query(n, f"client-{n % clients}"))
    return values


def _read(server: KafkaServer, topic: str) -> list[Any]:
    """All committed records of a topic, partition by partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=server.bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    parts = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    ends = consumer.end_offsets(parts)
    records = []
    while any(consumer.position(tp) < ends[tp] for tp in parts):
        for rows in consumer.poll(timeout_ms=200).values():
            records += rows
    consumer.close()
    return records


def _origin(record: Any) -> str:
    return str(dict(record.headers)[HEADER].decode())


def _copier(server: KafkaServer, source: str, target: str, start: str = "earliest") -> TopicRekey:
    settings = Kafka(bootstrap_servers=(server.bootstrap,), topic=target, start=start)
    return TopicRekey(
        msgspec.structs.replace(settings, topic=source),
        settings,
        keys_by(DECODER),
        batch_records=50,
        metadata_seconds=0.5,
    )


def _config(server: KafkaServer, target: str, batch: int = 4096) -> Config:
    kafka = Kafka(bootstrap_servers=(server.bootstrap,), topic=target)
    return Config(kafka=kafka, pipeline=Pipeline(batch_queries=batch))


def _drain(copy: TopicRekey) -> int:
    """Copy what the source holds now."""
    ends, copied = copy.ends(), 0
    until = time.monotonic() + PATIENCE_SECONDS
    while not copy.is_past(ends):
        copied += copy.turn(0.2)
        assert time.monotonic() < until
    return copied


@pytest.fixture
def topics(kafka_topic: TopicFactory) -> tuple[str, str]:
    """A source of three partitions and a target of four."""
    return kafka_topic(3), kafka_topic(4)


@servers
def test_every_record_is_copied_once_under_its_client(
    kafka_server: KafkaServer, topics: tuple[str, str]
) -> None:
    source, target = topics
    values = _spread(300, 3)
    values[1][10] = b"{ not JSON"
    _produce(kafka_server, source, values)

    assert rekey(_config(kafka_server, target), source, until_end=True) == (300, 1)

    copied = _read(kafka_server, target)
    assert {_origin(r): r.value for r in copied} == {
        f"{source}/{p}/{n}": value for p, rows in values.items() for n, value in enumerate(rows)
    }
    assert len(copied) == 300
    homes: dict[str, set[int]] = {}
    times: dict[str, list[int]] = {}
    for record in copied:
        if record.value == b"{ not JSON":
            assert record.key is None
            continue
        query = msgspec.json.decode(record.value)
        assert record.key.decode() == query["client_id"]
        homes.setdefault(query["client_id"], set()).add(record.partition)
        times.setdefault(query["client_id"], []).append(query["timestamp"])
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert all(seen == sorted(seen) for seen in times.values()), "the order between partitions is lost"


@servers
def test_the_copy_keeps_time_and_headers(kafka_server: KafkaServer, topics: tuple[str, str]) -> None:
    source, target = topics
    sent = int(time.time() * 1000) - 1234
    producer = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
    producer.send(source, _query(1, "c"), headers=[("trace", b"7")], timestamp_ms=sent)
    producer.close()

    rekey(_config(kafka_server, target), source, until_end=True)

    (record,) = _read(kafka_server, target)
    assert record.timestamp == sent
    assert record.headers[0] == ("trace", b"7")


@servers
def test_a_record_without_a_value_and_a_header_without_one_are_copied(
    kafka_server: KafkaServer, topics: tuple[str, str]
) -> None:
    source, target = topics
    producer = Producer({"bootstrap.servers": kafka_server.bootstrap})
    producer.produce(source, value=None, key=b"deleted", headers=[("trace", None)])
    producer.flush()

    assert rekey(_config(kafka_server, target), source, until_end=True) == (1, 1)

    (record,) = _read(kafka_server, target)
    assert (record.key, record.value) == (None, b"")
    assert record.headers[0] == ("trace", b"")


@servers
@pytest.mark.timeout(180)
def test_kills_in_the_middle_lose_nothing_and_double_nothing(
    kafka_server: KafkaServer, topics: tuple[str, str], tmp_path: Path
) -> None:
    source, target = topics
    total = 6000
    _produce(kafka_server, source, _spread(total, 3))
    (tmp_path / "querywatch.toml").write_text(
        f'[kafka]\nbootstrap_servers = ["{kafka_server.bootstrap}"]\ntopic = "{target}"\n'
        f"[pipeline]\nbatch_queries = 100\n"
    )

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "detector", "rekey", source, "--until-end", "--config", "querywatch.toml"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    for share in (0.1, 0.6):
        process = start()
        _wait_for_records(kafka_server, target, int(total * share))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was at the end before it was killed"
    process = start()
    said, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert f"records copied from {source} to {target}" in said

    origins = Counter(_origin(record) for record in _read(kafka_server, target))
    expected = Counter(f"{source}/{p}/{n}" for p in range(3) for n in range(total // 3))
    assert origins == expected


def _wait_for_records(server: KafkaServer, topic: str, records: int) -> None:
    consumer = KafkaConsumer(bootstrap_servers=server.bootstrap)
    parts = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
    until = time.monotonic() + PATIENCE_SECONDS
    while sum(consumer.end_offsets(parts).values()) < records:
        assert time.monotonic() < until, "the copy does not go on"
        time.sleep(0.02)
    consumer.close()


@pytest.fixture
def copies(kafka_server: KafkaServer, topics: tuple[str, str]) -> Iterator[tuple[TopicRekey, TopicRekey]]:
    """Two copiers of the same topics, closed after the test."""
    both = _copier(kafka_server, *topics), _copier(kafka_server, *topics)
    yield both
    for copy in both:
        copy.close()


@servers
def test_a_second_process_shuts_the_first_out(
    kafka_server: KafkaServer, topics: tuple[str, str], copies: tuple[TopicRekey, TopicRekey]
) -> None:
    first, second = copies
    _produce(kafka_server, topics[0], _spread(300, 3))
    first.open()
    until = time.monotonic() + PATIENCE_SECONDS
    while not first.turn(0.2):
        assert time.monotonic() < until
    second.open()
    with pytest.raises(Fenced, match="one at a time"):
        _drain(first)
    _drain(second)
    assert len(_read(kafka_server, topics[1])) == 300


@servers
def test_a_start_at_the_end_is_remembered_though_nothing_came(
    kafka_server: KafkaServer, topics: tuple[str, str]
) -> None:
    source, target = topics
    _produce(kafka_server, source, _spread(30, 3))
    first = _copier(kafka_server, source, target, start="latest")
    first.open()
    first.close()
    _produce(kafka_server, source, _spread(6, 3))
    again = _copier(kafka_server, source, target, start="latest")
    again.open()
    assert _drain(again) == 6
    again.close()


@servers
def test_partitions_that_are_added_are_copied_whole(
    kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    source, target = kafka_topic(1), kafka_topic(2)
    copy = _copier(kafka_server, source, target, start="latest")
    copy.open()
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    admin.create_partitions({source: 2})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
    producer.send(source, _query(1, "c"), partition=1)
    producer.close()
    until = time.monotonic() + PATIENCE_SECONDS
    while not copy.turn(0.2):
        copy.follow()
        assert time.monotonic() < until
    copy.close()
    assert [_origin(record) for record in _read(kafka_server, target)] == [f"{source}/1/0"]


@servers
def test_records_gone_before_they_were_copied_are_told(
    kafka_server: KafkaServer, kafka_topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = kafka_topic(1), kafka_topic(2)
    copy = _copier(kafka_server, source, target)
    copy.open()
    copy.close()
    _produce(kafka_server, source, _spread(20, 1))
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    admin.delete_records({TopicPartition(source, 0): 5})
    admin.close()
    copy.open()
    assert "5 records were deleted by retention" in caplog.text
    assert _drain(copy) == 15
    copy.close()


@servers
@pytest.mark.parametrize("records", [30, 300])
def test_a_source_that_is_recreated_while_it_is_copied_is_copied_from_its_first_record(
    kafka_server: KafkaServer,
    topics: tuple[str, str],
    copies: tuple[TopicRekey, TopicRekey],
    monkeypatch: pytest.MonkeyPatch,
    records: int,
) -> None:
    monkeypatch.setattr(kafka_rekey, "SURE_SECONDS", 0.0)
    source, target = topics
    copy, _ = copies
    _produce(kafka_server, source, _spread(150, 3))
    copy.open()
    assert _drain(copy) == 150
    kafka_server.recreate_topic(source, 3)
    _produce(kafka_server, source, _spread(records, 3))
    until = time.monotonic() + PATIENCE_SECONDS
    with pytest.raises(SourceError, match="was recreated") as caught:
        while time.monotonic() < until:
            assert not copy.turn(0.2)
    assert caught.value.offset < 0, "to be tried again"
    copy.close()
    copy.open()
    assert _drain(copy) == records
    copied = Counter(_origin(record) for record in _read(kafka_server, target))
    assert sum(copied.values()) == 150 + records
    assert all(copied[f"{source}/{p}/{n}"] >= 1 for p in range(3) for n in range(records // 3))


@servers
def test_missing_topics_are_named_with_what_to_do(
    kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    there = kafka_topic(1)
    with pytest.raises(SourceError, match=r"no topic 'absent-source'.*--create"):
        rekey(_config(kafka_server, there), "absent-source", until_end=True)
    with pytest.raises(SinkNotReady, match=r"no topic 'absent-target'.*--create"):
        rekey(_config(kafka_server, "absent-target"), there, until_end=True)


@servers
def test_a_record_larger_than_the_target_takes_is_no_loss(
    kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    source, target = kafka_topic(1), kafka_topic(1, {"max.message.bytes": "2000"})
    large = random.Random(1).randbytes(20_000)  # nothing that compression makes small
    _produce(kafka_server, source, {0: [_query(0, "c"), large]})
    with pytest.raises(SinkNotReady, match=r"max\.message\.bytes"):
        rekey(_config(kafka_server, target), source, until_end=True)
    assert _read(kafka_server, target) == [], "half a transaction is there"


def test_a_topic_is_not_copied_to_itself() -> None:
    with pytest.raises(UsageError, match=r"kafka\.topic"):
        rekey(Config(kafka=Kafka(topic="same")), "same")


def test_keys_are_what_the_detector_takes_for_the_client() -> None:
    keys = keys_by(DECODER)
    plain, number, broken = _query(1, "ann"), _query(1, "x").replace(b'"x"', b"17"), b"[]"
    assert list(keys([plain, broken, number])) == [b"ann", None, b"17"]
