"""Records as columns: what the core reads from them is what it reads from the records, bit for bit."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from connectors.formats.native import NativeDecoder
from detector.columns import to_batch
from detector.decoded import Decoded
from detector.keys import keys_of
from detector.pipeline import Shard
from detector.query import RawBatch, Record
from detector.records import CLIENT, NAMES, SESSION, TENANT, Listed
from detector.settings import Settings
from detector.shard_state import dump
from detector.shares import DIVIDE_EVERY


def line(n: int, **fields: Any) -> bytes:
    record = {
        "timestamp": 1e9 + n,
        "model_id": "m",
        "client_id": f"client-{n % 7}",
        "input": [n + 0.25, -1.5, 1e-3 * n],
    }
    return json.dumps(record | fields).encode()


def decoded(lines: list[bytes], first: int = 0) -> Decoded:
    decoder = NativeDecoder(record_bytes=8000, nesting=16, input_length=1000)
    offsets = list(range(first, first + len(lines)))
    found, letters = decoder.decode(RawBatch("log", 3, lines, offsets, 2e9))
    assert not letters
    assert isinstance(found, Decoded)
    return found


def some(count: int = 40) -> Decoded:
    """Every answer and id is there in some and not in others."""
    lines = []
    for n in range(count):
        fields: dict[str, Any] = {}
        if n % 2:
            fields |= {"session_id": f"session-{n % 5}", "probabilities": [0.25, 0.75][: 1 + n % 4 // 2]}
        if n % 3 == 0:
            fields |= {"confidence": 0.5 + n / 100, "tenant_id": "t" * (n % 4 + 1)}
        if n % 5 == 0:
            fields |= {
                "label": n - 10,
                "request_id": f"r{n}",
                "user_agent": "agent",
                "source_ip": "192.0.2.1",
            }
        lines.append(line(n, **fields))
    return decoded(lines)


def plain(records: Iterable[Record]) -> list[list[Any]]:
    return [
        [
            list(value) if isinstance(value, memoryview | np.ndarray) else value
            for value in (getattr(record, name) for name in record.__struct_fields__)
        ]
        for record in records
    ]


def test_one_by_one_all_at_once_and_parts_are_the_same_records() -> None:
    found = some()
    every = plain(list(found))
    assert plain([found[n] for n in range(len(found))]) == every
    assert plain([found[-1]]) == every[-1:]
    assert plain(list(found[5:20][3:])) == every[8:20]
    assert plain(found.take(np.array([31, 2, 2]))) == [every[31], every[2], every[2]]
    first = json.loads(found.values[0])
    assert (found[0].timestamp, found[0].client_id, list(found[0].input)) == (1e9, "client-0", first["input"])
    assert (found[1].session_id, found[1].confidence, found[15].label) == ("session-1", None, 5)
    with pytest.raises(IndexError):
        found[len(found)]


def test_ids_are_the_same_where_most_text_is_of_others() -> None:
    found = decoded([line(n, session_id=f"s{n}", user_agent="x" * 500) for n in range(60)])
    assert found.take(np.array([59]))[0].session_id == "s59"
    assert plain(found.take(np.array([59]))) == plain(list(found))[59:]


UNUSUAL: list[dict[str, Any]] = [
    {"timestamp": "2001-09-09T01:46:40Z", "session_id": 5, "label": -(2**63), "confidence": 1},
    {
        "input": [[1.0], [2.5], [-0.0]],
        "probabilities": [],
        "user_agent": "q\\u0022",
        "label": 7,
        "request_id": None,
    },
    {"input": {"b64": base64.b64encode(np.arange(3.0).tobytes()).decode(), "dtype": "float64"}},
    {"client_id": "x" * 600, "probabilities": [0.125, 0.5, 0.375], "confidence": 0.75, "latency": {"ms": 1}},
]


def test_unusual_records_among_others_stay_columns() -> None:
    lines = [line(n, **(UNUSUAL[n // 5 % 4] if n % 5 == 2 else {"label": n})) for n in range(60)]
    lines[0], lines[31], lines[59] = line(0, **UNUSUAL[0]), b"no record", line(59, **UNUSUAL[3])
    decoder = NativeDecoder(record_bytes=8000, nesting=16, input_length=1000)
    found, letters = decoder.decode(RawBatch("log", 3, lines, list(range(60)), 2e9))
    assert isinstance(found, Decoded)
    alone = [decoder.decode(RawBatch("log", 3, [one], [n], 2e9)) for n, one in enumerate(lines)]
    assert [letter for _, bad in alone for letter in bad] == letters
    expected = [record for records, _ in alone for record in records]
    assert plain(found) == plain(expected)
    assert_same_columns(found, expected)


@pytest.mark.parametrize(
    "odd",
    [{"input": "text"}, {"label": "cat"}, {"client_id": "\xe9"}, {"label": 2**63}, {"confidence": math.nan}],
)
def test_records_without_columns_of_their_own_stay_records(odd: dict[str, Any]) -> None:
    lines = [line(n, **(odd if n == 9 else {})) for n in range(20)]
    decoder = NativeDecoder(record_bytes=8000, nesting=16, input_length=1000)
    found, letters = decoder.decode(RawBatch("log", 3, lines, list(range(20)), 2e9))
    alone = [decoder.decode(RawBatch("log", 3, [one], [n], 2e9)) for n, one in enumerate(lines)]
    assert letters == [letter for _, bad in alone for letter in bad]
    assert plain(found) == plain([record for records, _ in alone for record in records])


def assert_same_columns(found: Sequence[Record], records: list[Record]) -> None:
    columns, bad = to_batch("m", found, "log", 3)
    expected, bad_too = to_batch("m", records, "log", 3)
    assert bad == bad_too
    for name in ("inputs", "probabilities", "confidence", "margin", "labels", "timestamps"):
        assert getattr(columns, name).tobytes() == getattr(expected, name).tobytes(), name


def test_columns_are_those_of_the_records() -> None:
    found = some()
    for records in (found, found[3:30], found[::2], found.take(np.array([7, 1, 1]))):
        assert_same_columns(records, list(records))


def test_bad_values_leave_the_same_dead_letters() -> None:
    lines = [line(n) for n in range(20)]
    lines[4] = line(4, input=[1.0, 1e100, 2.0])
    lines[7] = line(7, probabilities=[0.5, 1.5])
    lines[9] = line(9, confidence=-1)
    found = decoded(lines)
    columns, bad = to_batch("m", found, "log", 3)
    expected, bad_too = to_batch("m", list(found), "log", 3)
    assert bad == bad_too
    assert [letter.offset for letter in bad] == [4, 7, 9]
    assert columns.inputs.tobytes() == expected.inputs.tobytes()


def test_keys_are_those_of_the_ids() -> None:
    found = some()
    ids = [(record.client_id, record.session_id, record.tenant_id) for record in found]
    keys = found.keys(CLIENT, SESSION, TENANT)
    assert keys.tolist() == keys_of(list(zip(*ids, strict=True))).tolist()


@pytest.mark.parametrize("which", range(len(NAMES)))
def test_ids_are_those_of_the_records(which: int) -> None:
    found = some()
    for part in (found, found.take(np.array([39, 3, 4])), found.take(np.array([1])), found[:0]):
        expected = [getattr(record, NAMES[which]) for record in part]
        assert part.ids(which) == Listed(list(part)).ids(which) == expected


def test_models_are_numbered_as_they_are_first_named() -> None:
    assert some().models()[0] == ["m"]
    for period in (1, 2, 7, 500):  # 500: each but one is named once
        lines = [line(n, model_id=f"m{n % period}"[: 1 + n % 5]) for n in range(600)]
        found = decoded(lines)
        names, codes = found.models()
        assert [names[code] for code in codes] == [record.model_id for record in found]
        expected, expected_codes = Listed(list(found)).models()
        assert (names, codes.tolist()) == (expected, expected_codes.tolist())
        rows = np.array([599, 3, 3, 500])
        assert found.take(rows).models()[0] == Listed(list(found)).take(rows).models()[0]


@pytest.mark.parametrize("first", [0, DIVIDE_EVERY - 30, DIVIDE_EVERY - 1])
def test_a_shard_makes_the_same_of_them(first: int) -> None:
    """Also where models are interleaved, lengths are wrong, offsets repeat, and memory is divided anew."""
    lines = [line(n, model_id="mn"[n % 11 == 0]) for n in range(200)]
    lines[150] = line(150, input=[1.0])
    as_columns, as_records = (Shard(Settings(learn=False), {}) for _ in range(2))
    one_model = [line(n) for n in range(200, 400)]
    for found in (decoded(lines, first), decoded(lines[:50], first), decoded(one_model, first + 200)):
        as_columns.process(found)
        as_records.process(list(found))
    assert dump(as_columns) == dump(as_records)
    assert as_columns.divisions == (first + 399) // DIVIDE_EVERY
