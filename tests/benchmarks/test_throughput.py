"""The throughput benchmark in its smallest form: every part measures what it says, and prints it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.throughput import report
from benchmarks.throughput.__main__ import app
from benchmarks.throughput.bare import decode_only
from benchmarks.throughput.live import Crowd, one
from benchmarks.throughput.log import packed_input, write_log
from benchmarks.throughput.plain_loop import from_kafka as events_from_kafka
from benchmarks.throughput.plain_loop import numbers, run
from benchmarks.throughput.prepared import Prepared, prepare, read_log
from benchmarks.throughput.quix import LOCK
from benchmarks.throughput.servers import into_elasticsearch
from benchmarks.throughput.service import Topic, from_kafka
from benchmarks.throughput.stages import stages
from detector import profile as profiles
from detector.config import Config
from detector.edge import make_decoder
from detector.features.catalogue import NAMES
from detector.features.inputs import unlearned
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

QUERIES, NUMBERS = 6000, 16


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("throughput"), QUERIES, NUMBERS, base64=False)


def test_the_log_is_the_same_each_time_and_all_of_it_decodes(prepared: Prepared, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_log(again, QUERIES, NUMBERS, 200, seed=2, base64_inputs=False, attacks=True)
    assert again.read_bytes() == prepared.log.read_bytes()
    decoder = make_decoder(Config())
    decoded = [decoder.decode(raw) for raw in read_log(prepared.log)]
    assert sum(len(records) for records, _ in decoded) == QUERIES
    assert not any(letters for _, letters in decoded)


def test_an_input_is_the_same_as_a_list_and_in_base64() -> None:
    x = np.array([0.5, -1.25, 3.0])
    assert numbers(json.loads(packed_input(x, False))).tolist() == x.tolist()
    assert numbers(json.loads(packed_input(x, True))).tolist() == x.tolist()


def test_every_stage_takes_its_time(prepared: Prepared) -> None:
    found, only = stages(prepared, decode_only(prepared), times=1)
    assert list(only) == ["inputs", "all fields"]
    assert min(only.values()) > 0.0
    assert list(found) == [
        "read",
        "decode",
        "columns, sessions, features",
        "models, policy",
        "sink (NDJSON)",
    ]
    assert found["decode"] > 0.0
    assert found["columns, sessions, features"] > 0.0


def test_live_sessions_are_all_live(prepared: Prepared, tmp_path: Path) -> None:
    for sessions in (40, 300):
        crowd = Crowd(tmp_path / str(sessions), sessions, NUMBERS, 8, str(prepared.profile))
        takes = [crowd.take(600) for _ in range(2)]
        saved = crowd.save()
        assert saved["live"] == sessions
        assert saved["bytes"] > 0.0
        for take in takes:
            assert take["points"] == pytest.approx(150.0, rel=0.2)  # fair: as much is scored in both
            assert take["seconds"] > 0.0
    assert one(NUMBERS, 1000, str(prepared.profile))["last"] > 0.0


def test_live_sessions_are_printed(prepared: Prepared, capsys: pytest.CaptureFixture[str]) -> None:
    report.live(prepared, [40, 300], 8)
    printed = capsys.readouterr().out
    assert re.search(r"^  40 live sessions .* 1\.00 of the first", printed, re.MULTILINE)
    assert "  300 live sessions" in printed


def test_the_plain_loop_has_the_features_that_querywatch_has(prepared: Prepared) -> None:
    (profile,) = profiles.load(prepared.profile).values()
    events = [value for raw in read_log(prepared.log) for value in raw.values]
    points, seconds = run(iter(events), profile.inputs, 4)
    assert points > QUERIES // 10
    assert seconds > 0.0


def test_the_plain_loop_sees_a_search() -> None:
    from benchmarks.throughput.plain_loop import Session

    session, inputs = Session(), unlearned(2)
    for n in range(12):
        session.see(np.array([1.0, 0.5**n]), np.array([0.5 + 0.01 * n, 0.5 - 0.01 * n]), inputs)
    found = session.features()
    assert set(found) == set(NAMES)
    assert found["halving_steps"] > 0.7  # tanh: 1 becomes 0.73
    assert found["one_column_steps"] > 0.7
    assert found["record_highs"] > 0.7
    assert found["label_flips"] == 0.5


def test_the_peer_of_quix_streams_is_pinned() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert re.search(r"^quixstreams==[\d.]+ ", text, re.MULTILINE)
    pins = [line for line in text.splitlines() if "==" in line]
    assert len(pins) > 20
    assert "index-url" not in text
    assert all(line.endswith("\\") for line in pins)


def test_the_command_prints_what_was_asked_for() -> None:
    asked = ["--only", "stages", "--numbers", "4", "--queries", "2000", "--quick"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    for said in ("models, policy", "whole, `querywatch replay`", "(c) read and decode"):
        assert said in result.output
    assert CliRunner().invoke(app, ["--only", "nonsense"]).exit_code == 2


@pytest.mark.servers
@pytest.mark.timeout(300)
class TestServers:
    @pytest.fixture
    def topic(self, prepared: Prepared, kafka_server: KafkaServer) -> Iterator[Topic]:
        yield Topic(kafka_server, prepared.log)

    def test_from_kafka_to_elasticsearch_and_to_the_plain_loop(
        self,
        prepared: Prepared,
        topic: Topic,
        elasticsearch_server: ElasticsearchServer,
        tmp_path: Path,
    ) -> None:
        found = from_kafka(prepared, tmp_path, topic, elasticsearch_server, workers=1, client="confluent")
        assert found["alerts"] > 0.0
        assert found["cpu"] > 0.0
        events = events_from_kafka(topic.server.bootstrap, topic.name)
        given = [next(events) for _ in range(QUERIES)]
        events.close()
        sent = [value for raw in read_log(prepared.log) for value in raw.values]
        assert sorted(given) == sorted(sent)

    def test_alerts_are_stored(self, prepared: Prepared, elasticsearch_server: ElasticsearchServer) -> None:
        assert into_elasticsearch(prepared, elasticsearch_server, 600) > 0.0
