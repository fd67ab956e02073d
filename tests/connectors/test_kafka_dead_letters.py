"""The dead-letter topic on a real broker."""

from __future__ import annotations

import pytest
from kafka import KafkaConsumer

from connectors.kafka import KafkaDeadLetterSink
from detector.config import Kafka
from detector.errors import SinkError, SinkNotReady
from detector.query import DeadLetter
from tests.conftest import TopicFactory
from tests.connectors.members import make_settings
from tests.servers.kafka import KafkaServer

pytestmark = pytest.mark.servers


def test_dead_letters_are_kept_whole_with_reason_and_position(
    kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    settings = make_settings(kafka_server, "queries", dead_letter_topic=kafka_topic())
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
    sink = KafkaDeadLetterSink(make_settings(kafka_server, "queries", dead_letter_topic=topic))
    sink.open()
    noise = bytes(hash((i, 7)) & 255 for i in range(20_000))
    try:
        with pytest.raises(SinkError, match=r"offset 18 .*max\.message\.bytes"):
            sink.write_dead_letters([DeadLetter("not_json", "", noise, "queries", 0, 18)])
    finally:
        sink.close()


def test_a_missing_dead_letter_topic_is_not_ready(kafka_server: KafkaServer) -> None:
    sink = KafkaDeadLetterSink(make_settings(kafka_server, "queries", dead_letter_topic="no-such-topic"))
    with pytest.raises(SinkNotReady, match=r"no topic 'no-such-topic'.*--create"):
        sink.open()
