"""Records of every shape that the native format has, and every way to break one, each with its reason."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

RECORD_BYTES, NESTING, INPUT_LENGTH = 16_384, 16, 64
"""Limits that the records are made for."""
FUTURE_SECONDS = 1e6

Query = dict[str, Any]
Break = Callable[[random.Random, Query], bytes]

_IDS = ("\n", "\x1b[31m", "<script>", "=1+1", "\u202e", "\u0430dmin", "i" * 5000, "\U0001f600", "\x00", '"\\')


def good(rng: random.Random, query: Query) -> bytes:
    """A query of numbers as one of the shapes that the format allows; its id may be a hostile one."""
    query = dict(query)
    numbers = query["input"]
    shape = rng.randrange(10)
    if shape == 0:
        query["input"] = [numbers[:3], [numbers[3:]]]
    elif shape == 1:
        data = np.array(numbers, dtype="<f8").tobytes()
        query["input"] = {"b64": base64.b64encode(data).decode(), "dtype": "float64", "shape": [len(numbers)]}
    elif shape == 2:
        query["input"] = {"b64": base64.b64encode(np.array(numbers, dtype="<f4").tobytes()).decode()}
    elif shape == 3:
        query["timestamp"] = datetime.fromtimestamp(query["timestamp"], UTC).isoformat()
    elif shape == 4:
        query["client_id"] = f"{rng.choice(_IDS)}{rng.randrange(50)}"
    elif shape == 5:
        query["client_id"] = rng.randrange(10**9)
    elif shape == 6:
        query = {"unknown": {"a": [1, {"b": None}]}, **query, "label": rng.choice([3, "cat", None, ""])}
    elif shape == 7:
        answers = query.pop("probabilities")
        query["confidence"] = max(answers)
    elif shape == 8:
        query["model_id"], query["input"] = "texts", f"how do I {rng.randrange(1000)} \u00e9 {rng.random()}"
    text = json.dumps(query, ensure_ascii=rng.random() < 0.5)
    if shape == 9:
        return b"\xef\xbb\xbf  " + text.encode() + b" \r"
    return text.encode()


def _with(field: str, *values: Any) -> Break:
    """One field made another value."""
    return lambda rng, query: json.dumps({**query, field: rng.choice(values)}).encode()


def _literal(field: str, *texts: str) -> Break:
    """One field made something that is written like this."""

    def make(rng: random.Random, query: Query) -> bytes:
        return json.dumps({**query, field: "@@"}).replace('"@@"', rng.choice(texts)).encode()

    return make


def _cut(rng: random.Random, query: Query) -> bytes:
    raw = json.dumps(query).encode()
    return raw[: rng.randrange(1, len(raw))]


def _no_utf8(rng: random.Random, query: Query) -> bytes:
    raw = json.dumps(query).encode()
    return raw.replace(b"c", bytes([rng.randrange(0x80, 0xC0)]), 1)


def _without(rng: random.Random, query: Query) -> bytes:
    field = rng.choice(("timestamp", "model_id", "client_id", "input"))
    changed = dict(query)
    if rng.random() < 0.5:
        del changed[field]
    else:
        changed[field] = None
    return json.dumps(changed).encode()


def _ahead(rng: random.Random, query: Query) -> bytes:
    ahead = query["timestamp"] + FUTURE_SECONDS * rng.uniform(2, 9)
    return json.dumps({**query, "timestamp": ahead}).encode()


def _one_number(*texts: str) -> Break:
    """One number of the input made something that is written like this."""

    def make(rng: random.Random, query: Query) -> bytes:
        numbers = list(query["input"])
        numbers[rng.randrange(len(numbers))] = "@@"
        return json.dumps({**query, "input": numbers}).replace('"@@"', rng.choice(texts)).encode()

    return make


BREAKS: tuple[tuple[str, Break], ...] = (
    ("not_json", _cut),
    ("not_json", _no_utf8),
    ("not_json", lambda rng, query: rng.randbytes(rng.randrange(1, 200)) + b"\xff"),
    ("not_an_object", lambda rng, query: rng.choice((b"[1, 2]", b"17", b'"text"', b"null", b"true"))),
    ("too_large", lambda rng, query: json.dumps({**query, "pad": "x" * RECORD_BYTES}).encode()),
    ("too_deep", _literal("input", "[" * 17 + "1" + "]" * 17, "[" * 4000 + "]" * 4000)),
    ("too_deep", _literal("pad", '{"a":' * 20 + "1" + "}" * 20)),
    ("missing_field", _without),
    ("missing_field", _with("client_id", "")),
    ("missing_field", _with("input", {}, {"shape": [8]})),
    ("wrong_type", _with("timestamp", True, [1], {})),
    ("wrong_type", _with("client_id", ["a"], {"a": 1}, 1.5, False)),
    ("wrong_type", _with("input", 5, True, {"b64": 7}, {"b64": "AAAA", "dtype": 4}, [[1, "2"]])),
    ("wrong_type", _with("probabilities", "high", {"0": 0.5}, [None], [[0.5]])),
    ("wrong_type", _with("label", 1.5, [1], 2**64)),
    ("wrong_type", _one_number("null", '"1"', "true", "{}")),
    ("bad_time", _with("timestamp", 0, -1, 1e300, 1.76e12, "yesterday", "2026-02-30T00:00:00Z", "")),
    ("bad_time", _literal("timestamp", "NaN", "1e999", "-Infinity")),
    ("future_time", _ahead),
    ("bad_encoding", _with("input", {"b64": "@@@@"}, {"b64": "AAA"}, {"b64": "AAAA"})),
    ("bad_encoding", _with("input", {"b64": "AAAAAA==", "shape": [3]}, {"b64": "AAAA", "dtype": "int8"})),
    ("input_empty", _with("input", [], "", [[]], [[], [[]]])),
    ("input_too_long", _with("input", [0.5] * (INPUT_LENGTH + 1), [[1] * 40, [2] * 40], {"b64": "A" * 4000})),
    ("input_not_finite", _one_number("NaN", "Infinity", "1e999", "1e39", "9" * 400)),
    ("input_length", _with("input", [0.5], [0.5] * 9, "text")),
    ("bad_probability", _with("probabilities", [1.5, 0.1], [-0.1, 0.5])),
    ("bad_probability", _with("confidence", 1.5, -1, 1e300)),
    ("bad_probability", _literal("probabilities", "[NaN]", "[1e999, 0.5]")),
)
"""Ways to break a query of numbers, with the reason that must be given."""
