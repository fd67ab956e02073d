"""The native format, against a golden file and over arbitrary input."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats.careful import read_record
from connectors.formats.fields import BadRecord
from connectors.formats.native import NativeDecoder
from detector.query import REASONS, DeadLetter, RawBatch, Record

DATA = Path(__file__).parents[2] / "data"
LATEST = 1_800_000_000.0
NOW = 1_700_000_000


def decode(*lines: bytes, input_length: int = 1000) -> tuple[list[Record], list[DeadLetter]]:
    decoder = NativeDecoder(record_bytes=8000, nesting=16, input_length=input_length)
    records, letters = decoder.decode(RawBatch("log", 3, list(lines), list(range(len(lines))), LATEST))
    return list(records), letters


def line(**fields: Any) -> bytes:
    return json.dumps(
        {"timestamp": NOW, "model_id": "m", "client_id": "c", "input": [1.0], **fields}
    ).encode()


def record(**fields: Any) -> Record:
    records, letters = decode(line(**fields))
    assert letters == []
    return records[0]


def reason(raw: bytes) -> str:
    records, letters = decode(raw)
    assert records == []
    return letters[0].reason


def values(one: Record) -> dict[str, Any]:
    """The fields of a record without the raw bytes, numbers as lists however they are packed."""
    fields = {name: getattr(one, name) for name in one.__struct_fields__ if name != "raw"}
    fields["input"] = one.input if isinstance(one.input, str) else list(one.input)
    fields["probabilities"] = None if one.probabilities is None else list(one.probabilities)
    return fields


def plain(records: list[Record], letters: list[DeadLetter]) -> dict[str, Any]:
    """What a decoding gave, as JSON, without the raw bytes and the fields that are empty."""
    shown = []
    for one in records:
        fields = values(one)
        shown.append({name: value for name, value in fields.items() if value not in ("", None)})
    return {"records": shown, "letters": [[e.offset, e.reason, e.detail] for e in letters]}


def test_golden_file_with_every_variant_and_every_kind_of_bad_record() -> None:
    lines = (DATA / "native.ndjson").read_bytes().splitlines()
    records, letters = decode(*lines, input_length=16)
    assert plain(records, letters) == json.loads((DATA / "native.expected.json").read_text("utf-8"))
    blank = [number for number, raw in enumerate(lines) if not raw.strip()]
    offsets = [one.offset for one in records] + [e.offset for e in letters] + blank
    assert sorted(offsets) == list(range(len(lines)))
    assert all(lines[one.offset] == one.raw for one in records)
    assert all(lines[e.offset] == e.raw for e in letters)
    found_later = {"input_length", "too_many_models", "truncated", "rejected_by_sink", "sink_down"}
    assert {e.reason for e in letters} == set(REASONS) - found_later


def test_details_are_short_and_printable_whatever_the_values() -> None:
    nasty = "\x1b[31m\u202e\ud800" + "é" * 5000
    for fields in ({"confidence": nasty}, {"timestamp": nasty}, {"input": [nasty]}, {"label": [nasty]}):
        (letter,) = decode(
            json.dumps({"timestamp": NOW, "model_id": "m", "client_id": "c"} | fields).encode()
        )[1]
        assert letter.detail.isascii()
        assert letter.detail.isprintable()
        assert len(letter.detail) < 200


def test_long_ids_are_shortened_and_stay_apart() -> None:
    first, second = "x" * 600 + "1", "x" * 600 + "2"
    kept = record(client_id=first).client_id
    assert kept == "x" * 64 + "~" + hashlib.sha256(first.encode()).hexdigest()[:32]
    assert record(client_id=second).client_id != kept
    assert record(client_id="y" * 512).client_id == "y" * 512


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"timestamp":1,"x":' + b"[" * 7000,
        b'"' + b'\\"' * 3500,
        b'{"x":"' + b"]" * 20 + b'","y":' + b"[" * 20 + b"]" * 20 + b"}",
    ],
)
def test_nesting_bombs_are_refused_calmly(raw: bytes) -> None:
    decoder = NativeDecoder(record_bytes=1 << 20, nesting=16, input_length=10)
    records, (letter,) = decoder.decode(RawBatch("log", 0, [raw], [0], LATEST))
    assert records == []
    assert letter.reason in {"too_deep", "not_json"}


def test_brackets_inside_text_are_not_nesting() -> None:
    assert record(input="[" * 500 + '\\"{').input == "[" * 500 + '\\"{'


def test_depth_limit_is_exact_in_fields_that_are_ignored() -> None:
    # The record itself is one level.
    def nested(levels: int) -> bytes:
        return line()[:-1] + b', "x": ' + b"[" * levels + b"]" * levels + b"}"

    assert decode(nested(15))[1] == []
    assert reason(nested(16)) == "too_deep"


def test_latest_is_the_newest_accepted_time() -> None:
    assert record(timestamp=LATEST).timestamp == LATEST
    assert reason(line(timestamp=LATEST + 0.001)) == "future_time"


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda t: t.encode())), max_size=20)
)
def test_arbitrary_bytes_are_accounted_for_one_to_one(values: list[bytes]) -> None:
    records, letters = decode(*values)
    blank = [n for n, raw in enumerate(values) if not raw.removeprefix(b"\xef\xbb\xbf").strip()]
    offsets = [one.offset for one in records] + [e.offset for e in letters] + blank
    assert sorted(offsets) == list(range(len(values)))
    assert all(e.reason in REASONS for e in letters)
    assert [e.offset for e in letters] == sorted(e.offset for e in letters)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["b64", "dtype", "shape"]), inner)
    ),
    max_leaves=8,
)
FIELDS = ["timestamp", "model_id", "client_id", "input", "session_id", "probabilities", "confidence", "label"]


@given(st.sampled_from(FIELDS), json_values)
def test_one_arbitrary_field_gives_one_record_or_one_letter_that_names_it(field: str, value: Any) -> None:
    records, letters = decode(line(**{field: value}))
    assert len(records) + len(letters) == 1
    if letters:
        assert letters[0].detail.startswith(field)
    else:
        (only,) = records
        assert only.model_id and only.client_id and 0 < only.timestamp <= LATEST
        assert len(only.input) > 0


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512)


@given(
    timestamp=st.floats(1, LATEST),
    model_id=ids,
    client_id=ids,
    session_id=ids,
    numbers=st.lists(numbers, min_size=1, max_size=12),
    probabilities=st.none() | st.lists(st.floats(0, 1), min_size=1),
    confidence=st.none() | st.floats(0, 1),
    label=st.none() | st.integers(-(2**63), 2**63 - 1) | ids,
)
def test_valid_records_round_trip(
    timestamp: float,
    model_id: str,
    client_id: str,
    session_id: str,
    numbers: list[float],
    probabilities: list[float] | None,
    confidence: float | None,
    label: int | str | None,
) -> None:
    fields = {
        "timestamp": timestamp,
        "model_id": model_id,
        "client_id": client_id,
        "session_id": session_id,
        "probabilities": probabilities,
        "confidence": confidence,
        "label": label,
    }
    got = record(input=numbers, **fields)
    assert {name: values(got)[name] for name in fields} == fields
    assert list(got.input) == [float(number) for number in numbers]


@given(
    st.recursive(
        st.lists(numbers, min_size=1, max_size=4), lambda inner: st.lists(inner, max_size=4), max_leaves=9
    )
)
def test_nesting_and_the_reading_taken_change_no_number(nested: list[Any]) -> None:
    def flat(node: Any) -> list[float]:
        return [x for part in node for x in flat(part)] if isinstance(node, list) else [float(node)]

    expected = flat(nested)
    if not expected:
        assert reason(line(input=nested)) == "input_empty"
        return
    assert list(record(input=nested).input) == expected
    # A label written as 1.0 is what only the careful reading takes.
    careful = record(input=nested, label=1.0)
    assert (list(careful.input), careful.label) == (expected, 1)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9))
def test_base64_inputs_hold_the_same_numbers(values: list[float]) -> None:
    data = base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()
    got = record(input={"b64": data, "shape": [len(values), 1]}).input
    assert isinstance(got, np.ndarray)
    assert got.dtype == np.float64
    assert got.tolist() == values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("2023-11-14T22:13:20.123456789Z", 1700000000.123456789),
        ("2023-11-14 23:13:20.5+01:00", 1700000000.5),
        ("2023-11-14T22:13:20-00:00", 1700000000.0),
        ("2016-12-31T23:59:60Z", 1483228800.0),
    ],
)
def test_times_are_read_exactly(text: str, seconds: float) -> None:
    assert record(timestamp=text).timestamp == seconds


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-14T22:13:20",
        "2023-11-14",
        "20231114T221320Z",
        "2023-11-14T22:13Z",
        "2023-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:13:61Z",
        "2023-11-14T22:13:20.1234567890Z",
        "2023-11-14T22:13:20+25:00",
        "1969-12-31T23:59:59.5Z",
        "1970-01-01T00:00:00Z",
        "２023-11-14T22:13:20Z",
        "",
    ],
)
def test_times_that_are_none_are_refused(text: str) -> None:
    assert reason(line(timestamp=text)) == "bad_time"


def test_milliseconds_get_a_hint() -> None:
    (letter,) = decode(line(timestamp=NOW * 1000))[1]
    assert letter.reason == "bad_time"
    assert "divide by 1000" in letter.detail


@pytest.mark.parametrize("bits", [b"\x00\x00\xc0\x7f", b"\x00\x00\xa0\x7f"], ids=["quiet", "signalling"])
def test_not_a_number_in_base64_is_left_to_the_columns(bits: bytes) -> None:
    data = base64.b64encode(bits).decode()
    got = record(input={"b64": data}).input
    assert isinstance(got, np.ndarray)
    assert np.isnan(got).all()


def test_a_tight_nesting_limit_holds_for_known_fields_too() -> None:
    decoder = NativeDecoder(record_bytes=8000, nesting=2, input_length=10)
    shaped = line(input={"b64": "AACAPw==", "shape": [1]})
    records, letters = decoder.decode(
        RawBatch("log", 0, [line(), shaped, line(input=[[1]])], [0, 1, 2], LATEST)
    )
    assert [one.offset for one in records] == [0]
    assert [(e.offset, e.reason) for e in letters] == [(1, "too_deep"), (2, "too_deep")]


def test_unknown_fields_are_ignored_wherever_they_stand() -> None:
    plain_record = record(label=1)
    extra = record(label=1, status=200, nested={"a": [{"b": None}]}, timestamps=[1])
    assert values(extra) == values(plain_record)


OPTIONAL: dict[str, list[Any]] = {
    "session_id": ["s", 5, None, ""],
    "request_id": ["r", 7],
    "tenant_id": ["t", None],
    "probabilities": [[0.25, 0.75], [], None, [[0.5], [0.5]], [1, 0]],
    "confidence": [0.5, 1, None],
    "label": ["cat", 3, 1.0, None, ""],
    "more": [None, {"a": [1]}],
    "others": ["x"],
}


@given(
    st.lists(st.lists(st.sampled_from([(k, v) for k, found in OPTIONAL.items() for v in found]), max_size=6))
)
def test_what_was_read_before_changes_no_record(logged: list[list[tuple[str, Any]]]) -> None:
    """Other keys, as many other keys, a key twice: as if each record were read by itself, carefully."""
    lines = [
        line()[:-1]
        + b"".join(b", " + json.dumps({key: value}).encode()[1:-1] for key, value in fields)
        + b"}"
        for fields in logged
    ]
    decoder = NativeDecoder(record_bytes=8000, nesting=16, input_length=1000)
    batch = RawBatch("log", 3, lines, list(range(len(lines))), LATEST)
    records, letters = decoder.decode(batch)
    for number, raw in enumerate(lines):
        try:
            expected = values(read_record(raw, number, LATEST, 16, 1000))
        except BadRecord as bad:
            (letter,) = [letter for letter in letters if letter.offset == number]
            assert (letter.reason, letter.detail) == (bad.reason, bad.detail)
        else:
            (one,) = [one for one in records if one.offset == number]
            assert values(one) == expected
