"""Every limit of the configuration holds in a run: what is beyond it is a dead letter, the rest is read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from connectors.formats.fields import MAX_CLASSES
from tests.detector.conftest import Querywatch

LIMITS = "[limits]\nrecord_bytes = 400000\nnesting = 4\ninput_length = 8\nfuture_seconds = 60\n"
GOOD: dict[str, Any] = {"timestamp": 1.0, "model_id": "m", "client_id": "c", "input": [1.0] * 8}
BEYOND: dict[str, tuple[dict[str, Any], str]] = {
    "record": ({"user_agent": "x" * 400_000}, "too_large"),
    "nesting": ({"ignored": {"a": {"b": {"c": []}}}}, "too_deep"),
    "input": ({"input": [1.0] * 9}, "input_too_long"),
    "nested input": ({"input": [[1.0] * 5, [1.0] * 4]}, "input_too_long"),
    "encoded input": ({"input": {"b64": "AAAA" * 12, "dtype": "float32"}}, "input_too_long"),
    "classes": ({"probabilities": [0.0] * (MAX_CLASSES + 1)}, "bad_probability"),
    "future": ({"timestamp": 9e9}, "future_time"),
}
AT: dict[str, dict[str, Any]] = {
    "record": {"user_agent": "x" * 399_000},
    "nesting": {"ignored": {"a": {"b": []}}},
    "classes": {"probabilities": [0.0] * MAX_CLASSES},
}


@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_beyond_a_limit_is_a_dead_letter(
    querywatch: Querywatch, tmp_path: Path, compressed: bool
) -> None:
    beyond = [json.dumps(GOOD | change).encode() for change, _ in BEYOND.values()]
    within = [json.dumps(GOOD | change).encode() for change in AT.values()]
    lines = b"".join(line + b"\n" for line in (*within, *beyond))
    (tmp_path / "log").write_bytes(gzip.compress(lines) if compressed else lines)
    (tmp_path / "c.toml").write_text(LIMITS)
    result = querywatch("replay", "log", "--config", "c.toml", "--alerts", "a.ndjson")
    assert result.exit_code == 0, result.output
    letters = [json.loads(line) for line in (tmp_path / "a.dead-letters.ndjson").read_bytes().splitlines()]
    assert {letter["offset"]: letter["reason"] for letter in letters} == {
        len(within) + n: reason for n, (_, reason) in enumerate(BEYOND.values())
    }
    assert [letter["raw"].encode() for letter in sorted(letters, key=lambda one: one["offset"])] == beyond
    assert f"queries       {len(within)} " in result.output
