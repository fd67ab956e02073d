"""What is wrong with a log is data: each ends with an account, and the good records are all processed."""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from connectors.file_sinks import read_letter_file
from connectors.sqlite import read_dead_letters
from tests import traffic
from tests.detector.conftest import Querywatch


def test_an_empty_file_is_no_error(querywatch: Querywatch) -> None:
    Path("empty.ndjson").touch()
    result = querywatch("replay", "empty.ndjson")
    assert result.exit_code == 0
    for said in ("queries       0", "sessions      0", "alerts        0", "dead letters  0"):
        assert said in result.stdout


def test_a_truncated_gzip_gives_what_came_before(querywatch: Querywatch) -> None:
    queries = traffic.benign(40, seed=5)
    whole = gzip.compress(b"\n".join(traffic.lines(queries)))
    Path("cut.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    result = querywatch("replay", "cut.ndjson.gz", "--db", "x.sqlite")
    assert result.exit_code == 0
    (letter,) = read_dead_letters("x.sqlite")
    assert letter.reason == "truncated"
    assert 100 < letter.offset < len(queries)
    assert f"queries       {letter.offset:,} in" in result.stdout
    assert "the file ends in the middle of a compressed stream" in result.stdout


def test_two_logs_on_standard_input_keep_their_dead_letters_apart(querywatch: Querywatch) -> None:
    for raw in (b"junk", b"other", b"junk"):
        querywatch("replay", "-", "--db", "x.sqlite", stdin=raw)
    assert sorted(letter.raw for letter in read_dead_letters("x.sqlite")) == [b"junk", b"other"]


def test_binary_junk_is_not_a_query_log(querywatch: Querywatch) -> None:
    Path("junk.bin").write_bytes(random.Random(1).randbytes(200_000))
    result = querywatch("replay", "junk.bin")
    assert result.exit_code == 2
    assert "queries       0" in result.stdout
    assert "not_json" in result.stdout
    (line,) = result.stderr.splitlines()
    assert "junk.bin: not a query log in the native format" in line


def test_good_records_round_bad_ones_are_all_processed(querywatch: Querywatch) -> None:
    good = traffic.benign(30, seed=6)
    Path("c.toml").write_text("[limits]\nrecord_bytes = 5000\n")
    base = good[0]
    bad: list[tuple[str, bytes]] = [
        ("too_large", b'{"input": [' + b"0," * 50_000 + b"0]}"),
        ("not_json", b"\x00\xff\xfe junk"),
        ("not_json", json.dumps({**base, "input": [float("nan")] * traffic.D}).encode()),
        ("input_not_finite", json.dumps({**base, "input": [1e300] * traffic.D}).encode()),
        ("input_length", json.dumps({**base, "input": [1.0, 2.0]}).encode()),
        ("future_time", json.dumps({**base, "timestamp": time.time() + 10 * 86_400}).encode()),
        ("missing_field", json.dumps({k: v for k, v in base.items() if k != "client_id"}).encode()),
        ("bad_time", json.dumps({**base, "timestamp": "yesterday"}).encode()),
        ("bad_probability", json.dumps({**base, "probabilities": [1.5, -0.5]}).encode()),
        ("not_an_object", b"[1, 2, 3]"),
    ]
    lines = traffic.lines(good)
    expected = {}
    for number, (reason, raw) in enumerate(bad):
        lines.insert(20 * (number + 1), raw)
        expected[20 * (number + 1)] = (reason, raw)
    Path("mixed.ndjson").write_bytes(b"\n".join(lines))
    result = querywatch("replay", "mixed.ndjson", "--config", "c.toml", "--db", "x.sqlite")
    assert result.exit_code == 0
    assert f"queries       {len(good):,} in" in result.stdout
    letters = read_dead_letters("x.sqlite")
    found = {letter.offset: (letter.reason, letter.raw) for letter in letters}
    assert {k: v[1] for k, v in found.items()} == {k: v[1] for k, v in expected.items()}
    counts = Counter(reason for reason, _ in found.values())
    for reason, count in counts.items():
        assert f"{count:>9,}  {reason}: " in result.stdout
    for offset, (reason, _) in expected.items():
        if reason != "not_json":
            assert found[offset][0] == reason
    assert found[60][0] in {"not_json", "input_not_finite"}  # NaN is no JSON


@pytest.mark.parametrize("kept", [(), ("confidence",), ("label",)])
def test_a_log_with_few_or_no_outputs(querywatch: Querywatch, kept: tuple[str, ...]) -> None:
    def reduced(queries: list[dict[str, object]]) -> list[dict[str, object]]:
        out = []
        for query in queries:
            p = query.pop("probabilities")
            assert isinstance(p, list)
            outputs = {"confidence": max(p), "label": p.index(max(p))}
            out.append({**query, **{key: outputs[key] for key in kept}})
        return out

    traffic.write(Path("history.ndjson"), reduced(traffic.benign(300, seed=1)))
    attacked = traffic.mixed(traffic.benign(20, seed=2), traffic.inversion(seed=3))
    traffic.write(Path("log.ndjson"), reduced(attacked))
    assert querywatch("fit", "history.ndjson", "--profile", "p.qwp").exit_code == 0
    result = querywatch("replay", "log.ndjson", "--profile", "p.qwp", "--frozen", "--alerts", "out.ndjson")
    assert result.exit_code == 0
    users = {json.loads(line)["user"]["id"] for line in Path("out.ndjson").read_bytes().splitlines()}
    assert users == {"attacker-3"}


def test_one_session_of_many_queries(querywatch: Querywatch, toy_profile: Path) -> None:
    queries = traffic.inversion(seed=9, queries=20_000)
    traffic.write(Path("long.ndjson"), queries)
    result = querywatch("replay", "long.ndjson", "--profile", toy_profile, "--frozen", "--alerts", "o.ndjson")
    assert result.exit_code == 0
    assert "queries       20,000 in" in result.stdout
    assert "sessions      1" in result.stdout
    assert "alerts        1 " in result.stdout
    assert len(Path("o.ndjson").read_bytes().splitlines()) <= 9


@pytest.mark.parametrize("output", ["--alerts", "--db"])
def test_a_file_whose_name_is_no_text_is_read_and_named(
    querywatch: Querywatch, tmp_path: Path, output: str
) -> None:
    name = os.fsdecode(b"log-\xff\n.ndjson")
    (good, *_) = traffic.lines(traffic.benign(1, seed=1))
    (tmp_path / name).write_bytes(good + b"\nnot json\n")
    (tmp_path / "other.ndjson").write_bytes(good + b"\njunk\n")
    for count, logs in enumerate(([name], [name, "other.ndjson"]), start=1):
        result = querywatch("replay", *logs, output, "x")
        assert result.exit_code == 0, result.output
        assert f"{count}  not_json" in result.output
    told = (
        read_dead_letters("x")
        if output == "--db"
        else list(read_letter_file(tmp_path / "x.dead-letters.ndjson"))
    )
    assert {(letter.source, letter.raw) for letter in told} == {
        ("log-\\xff\n.ndjson", b"not json"),
        ("other.ndjson", b"junk"),
    }
    assert querywatch("replay", name, output, name).exit_code == 2
