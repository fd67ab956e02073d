"""Inputs that the fuzzer begins with, and words that it puts together."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from benchmarks.faults.broken import BREAKS, good
from detector.container import MAGIC, pack
from tests import traffic

GOLDEN = Path(__file__).parents[2] / "tests" / "data" / "native.ndjson"
EACH = 3
"""Records of each way to break one, and of each shape."""
SHAPES = 10
MOST_BYTES = 4096
"""Longest seed: small inputs are what coverage is found with."""

WORDS = (
    *("timestamp", "model_id", "client_id", "input", "session_id", "request_id", "source_ip", "user_agent"),
    *("_id", "event", "querywatch", "reason", "detail", "source", "partition", "offset", "raw", "raw_b64"),
    *("sink_down", "rejected_by_sink", "memory", "0000000000000000000000000000000000000000"),
    *("tenant_id", "probabilities", "confidence", "label", "b64", "dtype", "shape", "float32", "float64"),
    *("uint8", "AAAAAA==", "2023-11-14T22:13:20.123456789Z", "+02:00", "NaN", "Infinity", "-Infinity"),
    *("null", "true", "false", "1e999", "1e39", "-0.0", "-0", "1e-320", "18446744073709551616", "0.5"),
    *('": ', '", "', "[[", "]]", "{}", "\\u0000", "\\ud800", "\\ud83d\\ude00", "\\\\", '\\"', "\n"),
)
RAW_WORDS = (b"\xef\xbb\xbf", b"\x00", b"\xff", b"\xed\xa0\x80", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", MAGIC)


def seeds(target: str) -> list[bytes]:
    """Seeds of a target of `decoders`, the same at each call."""
    lines = _records()
    if target == "records":
        return lines
    groups = [b"\n".join(lines[first : first + 3]) for first in range(0, len(lines), 3)]
    if target == "letters":
        return _letters()
    if target == "containers":
        return _archives()
    if target == "files":
        return [bytes([how]) + group for how, group in zip(range(0, 256, 5), groups, strict=False)]
    return groups


def dictionary() -> str:
    """The words as a dictionary of libFuzzer."""
    words = [*(word.encode() for word in WORDS), *RAW_WORDS]
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words)


def _records() -> list[bytes]:
    rng = random.Random(1)
    inputs = traffic.draw(np.random.default_rng(1), EACH * (SHAPES + len(BREAKS))).round(3)
    made = []
    for n, x in enumerate(inputs):
        query = {
            "timestamp": traffic.START + n,
            "model_id": "m",
            "client_id": "c",
            "input": x.tolist(),
            "probabilities": traffic.answer(x),
        }
        way = n // EACH - SHAPES
        made.append(good(rng, query) if way < 0 else BREAKS[way][1](rng, query))
    return [line for line in GOLDEN.read_bytes().splitlines() + made if len(line) <= MOST_BYTES]


def _letters() -> list[bytes]:
    """Files of dead letters: of records, of alerts, and of what should hold one."""
    alert = json.dumps({"_id": "0" * 40, "event": {"kind": "alert"}, "querywatch": {}})
    made = []
    for reason in ("not_json", "sink_down", "rejected_by_sink"):
        for source in ("memory", "elasticsearch"):
            for raw in ({"raw": alert}, {"raw": "\u202e{"}, {"raw_b64": "/wA="}, {"raw_b64": "A"}):
                place = {"source": source, "partition": -1, "offset": 7}
                made.append(json.dumps({"reason": reason, "detail": "why", **place, **raw}).encode() + b"\n")
    return [*made, b"".join(made[:7]), b""]


def _archives() -> list[bytes]:
    """What follows the checksum of a stored file."""
    begin = len(MAGIC) + 65
    arrays = {"a": np.arange(3.0), "b/c": np.zeros((2, 0), dtype=np.int8), "d": np.array([True, False])}
    metas: list[dict[str, object]] = [{}, {"kind": "state", "n": [1, None, "x"]}]
    return [
        pack(meta, some, compressed=compressed)[begin:]
        for meta in metas
        for some in ({}, arrays)
        for compressed in (False, True)
    ] + [json.dumps(metas[1]).encode()]
