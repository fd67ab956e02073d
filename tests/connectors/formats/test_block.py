"""Reading many records at one go gives what reading each alone gives, and numbers to the last bit."""

from __future__ import annotations

import base64
import json
import math
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.formats import native
from connectors.formats.block import read_batch
from connectors.formats.encoded import AT_ONCE
from connectors.formats.floats import read_list, read_number
from connectors.formats.native import FEWEST_OF_A_BLOCK, NativeDecoder
from connectors.formats.times import rfc3339_seconds
from detector.query import DeadLetter, RawBatch, Record
from detector.slices import END, TEXT_BYTES, Slices
from tests.connectors.formats.compared import plain

DATA = Path(__file__).parents[2] / "data"
NOW, LATEST = 1_700_000_000, 1_800_000_000.0
ORDINARY = b'{"timestamp": 1.5, "model_id": "m", "client_id": "c", "input": [1.0, 2]}'


def read(text: str) -> tuple[int, float]:
    """Where the number ends, and what it is."""
    out = np.zeros(1)
    end = read_number(np.frombuffer(text.encode() + b"\0", np.uint8), 0, out, out.view(np.uint64), 0)
    return end, float(out[0])


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


floats = st.floats(allow_nan=False, allow_infinity=False)
numerals = st.one_of(
    floats.map(repr),
    floats.map(lambda x: repr(float(np.float32(max(-1e38, min(x, 1e38)))))),
    st.floats(-1e6, 1e6).map(lambda x: f"{x:.4f}"),
    st.integers(-(2**70), 2**70).map(str),
    st.tuples(st.integers(0, 10**20), st.integers(-330, 330)).map(lambda t: f"{t[0]}e{t[1]}"),
    st.tuples(st.integers(0, 10**18), st.integers(0, 10**6)).map(lambda t: f"-{t[0]}.{t[1]}E+0"),
    # Half way between two floats, and next to it.
    st.tuples(st.integers(2**52, 2**53), st.integers(-1, 1)).map(lambda t: f"{2 * (2 * t[0] + 1) + t[1]}"),
    st.tuples(st.integers(2**50, 2**51), st.sampled_from(["25", "125", "375", "5"])).map(
        lambda t: f"{t[0]}.{t[1]}"
    ),
    st.text("0123456789.eE+-", max_size=24),
)


@given(numerals)
def test_a_number_is_the_nearest_float_or_left_alone(text: str) -> None:
    end, value = read(text)
    if not text or end < len(text):
        return  # the careful reading's
    expected = float(json.loads(text))  # through an integer where it is one: that has no negative zero
    assert bits(value) == bits(expected)


@given(numerals)
def test_a_number_in_a_list_is_read_as_alone(text: str) -> None:
    listed = np.frombuffer(f"[{text}]\0".encode(), np.uint8)
    out = np.zeros(1)
    at, count = read_list(listed, 0, 1, out, out.view(np.uint64), 0)
    end, value = read(text)
    assert (at > 0) == (end == len(text) and end > 0)
    if at:
        assert (at, count) == (len(text) + 2, 1)
        assert bits(out[0]) == bits(value)


def test_ordinary_numbers_are_not_left_to_others() -> None:
    rng = np.random.default_rng(1)
    for x in np.concatenate([rng.normal(size=500), rng.normal(size=500).astype(np.float32)]).tolist():
        for text in (repr(x), f"{x:.4f}", f"{x:.6e}", str(int(1e6 * x))):
            assert read(text) == (len(text), float(text))
    assert bits(read("-0.0")[1]) == bits(-0.0)
    assert bits(read("-0")[1]) == bits(0.0)


@pytest.mark.parametrize(
    "text",
    ["", "-", "01", "-01.5", ".5", "1.", "1.e5", "1e", "1e+", "+1", "NaN", "1e400", "18446744073709551616",
     "36893488147419103232.0", "1e-320", "1e99999", "0.1e00001"],
)  # fmt: skip
def test_what_is_no_number_or_too_odd_a_one_is_left_alone(text: str) -> None:
    assert read(text)[0] == 0


def decoder(**limits: int) -> NativeDecoder:
    return NativeDecoder(**{"record_bytes": 2000, "nesting": 16, "input_length": 20, **limits})


def both_ways(values: list[bytes], **limits: int) -> None:
    """Decode at one go, as lines of a file where they can be that, and each alone: all must be the same."""
    offsets = list(range(len(values)))
    whole = decoder(**limits).decode(RawBatch("log", 3, values, offsets, LATEST))
    if not any(b"\n" in value for value in values):
        lines = Slices.lines(b"".join(value + b"\n" for value in values) + END)
        assert list(lines) == values
        assert plain(decoder(**limits).decode(RawBatch("log", 3, lines, offsets, LATEST))) == plain(whole)
    alone = decoder(**limits)
    records: list[Record] = []
    letters: list[DeadLetter] = []
    for offset, value in enumerate(values):
        found = alone.decode(RawBatch("log", 3, [value], [offset], LATEST))
        records += found[0]
        letters += found[1]
    assert plain(whole) == plain((records, letters))


def test_the_golden_file_both_ways() -> None:
    lines = (DATA / "native.ndjson").read_bytes().splitlines()
    assert len(lines) >= FEWEST_OF_A_BLOCK
    both_ways(lines, record_bytes=8000, input_length=16)
    both_ways([ORDINARY] * 3 + lines, record_bytes=8000, input_length=16, nesting=2)


texts = st.text(max_size=12) | st.sampled_from(["a" * 512, "a" * 513, "", "x\\y", 'q"q', "\x7f", "é"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**64), 2**64), floats, texts)
lists = st.lists(floats | st.integers(-(2**60), 2**60), max_size=22)
values = st.one_of(scalars, lists, st.lists(lists, max_size=2), st.dictionaries(texts, scalars, max_size=2))
required = {
    "timestamp": st.floats(1, 1.9e9) | st.just(NOW) | values,
    "model_id": st.just("m") | texts | values,
    "client_id": texts.filter(bool) | values,
    "input": lists.filter(bool) | values,
}
optional = {
    **dict.fromkeys(("session_id", "request_id", "source_ip", "user_agent", "tenant_id"), texts | values),
    "probabilities": st.lists(st.floats(0, 1), max_size=4) | values,
    "confidence": st.floats(0, 1) | values,
    "label": st.integers(-(2**64), 2**64) | texts | values,
    "latency_ms": floats | values,
    "model_version": texts | values,
}
records = st.tuples(
    st.fixed_dictionaries(required, optional=optional),
    st.booleans(),
    st.sampled_from([None, (",", ":"), (" ,\t", " : ")]),
).map(lambda t: json.dumps(t[0], ensure_ascii=t[1], separators=t[2]).encode("utf-8", "replace"))


@given(st.lists(records, min_size=1, max_size=6), st.integers(0, 2**32))
def test_any_records_both_ways(some: list[bytes], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [ORDINARY] * FEWEST_OF_A_BLOCK
    for value in some:
        values.insert(int(rng.integers(len(values))), value)
        damaged = bytearray(value)
        damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
        values.append(bytes(damaged))
        values.append(value[: int(rng.integers(len(value)))])
    both_ways(values)


@pytest.mark.parametrize(
    "value",
    [
        b"", b"\n", b"null", b"{}", b"[]", b"\0", ORDINARY[:-1], ORDINARY + b"}", ORDINARY + b" \r",
        b" \t" + ORDINARY, b"\xef\xbb\xbf" + ORDINARY, ORDINARY.replace(b"2]", b"2]\n"),
        ORDINARY.replace(b"}", b', "input": [3]}'), ORDINARY.replace(b"}", b', "x": 1, "x": 2}'),
        ORDINARY.replace(b"}", b', "label": -0}'), ORDINARY.replace(b"}", b', "label": 1.0}'),
        ORDINARY.replace(b"}", b', "label": 007}'), ORDINARY.replace(b"}", b",}"),
        ORDINARY.replace(b'"c"', b"7"), ORDINARY.replace(b'"c"', b'"c\\u0041"'),
        ORDINARY.replace(b"1.0", b"-0"),
        ORDINARY.replace(b"1.0", b"-0.0"), ORDINARY.replace(b"2]", b"2,]"), ORDINARY.replace(b"2]", b"[2]]"),
        ORDINARY.replace(b"1.5", b"1.8e9"), ORDINARY.replace(b"1.5", b"1800000000.001"),
        ORDINARY.replace(b"input", b"inpu\\u0074"),
        ORDINARY.replace(b"}", b', "x": true, "probabilities": []}'),
    ],
)  # fmt: skip
def test_odd_values_among_ordinary_ones_both_ways(value: bytes) -> None:
    both_ways([ORDINARY] * FEWEST_OF_A_BLOCK + [value] + [ORDINARY] * 2)


def test_limits_hold_at_their_edge() -> None:
    def long(count: int) -> bytes:
        return ORDINARY.replace(b"1.0, 2", b", ".join([b"1.5"] * count))

    edge = len(long(20))
    values = [long(20), long(21)] * FEWEST_OF_A_BLOCK
    both_ways(values)
    both_ways(values, record_bytes=edge)
    both_ways(values, record_bytes=edge - 1)


def test_a_batch_of_many_blocks_keeps_every_record_and_its_place() -> None:
    value = ORDINARY.replace(b"1.0, 2", b", ".join(b"%d.5" % n for n in range(1000)))
    count = 2 * TEXT_BYTES // len(value) + 5
    values = [
        value.replace(b'"c"', b'"c%d"' % n).replace(b'"m"', b'"m%d"' % (n % 9 // 4)) for n in range(count)
    ]
    found, ordinary = read_batch(Slices.of(values), range(count), LATEST, 10_000, 1000)
    assert ordinary.all()
    assert [one.client_id for one in found] == [f"c{n}" for n in range(count)]
    assert [one.model_id for one in found] == [f"m{n % 9 // 4}" for n in range(count)]
    assert [one.offset for one in found] == list(range(count))
    assert all(one.raw == value for one, value in zip(found, values, strict=True))
    assert all(math.isclose(sum(map(float, one.input)), 500_000.0) for one in found)


@pytest.mark.parametrize("blank", [b"", b" \t", b"\r"])
def test_a_blank_line_is_not_read_on_into_the_lines_behind_it(blank: bytes) -> None:
    lines = Slices.lines(b"\n".join([ORDINARY, *[blank] * 5, ORDINARY, END]))
    found, ordinary = read_batch(lines, range(7), LATEST, 1000, 20)
    assert ordinary.tolist() == [True, *[False] * 5, True]
    assert found.times.tolist() == [1.5, 0, 0, 0, 0, 0, 1.5]


def encoded(content: bytes, **others: object) -> bytes:
    fields = json.dumps({"b64": base64.b64encode(content).decode(), **others}).encode()
    return ORDINARY.replace(b"[1.0, 2]", fields)


@pytest.mark.parametrize("count", [*range(1, 14), AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 2])
def test_float32_in_base64_is_read_by_the_kernel(count: int) -> None:
    x = np.random.default_rng(count).normal(size=count).astype("<f4")
    x[0] = [1e-45, -0.0, 3.4e38][count % 3]
    ways: list[dict[str, Any]] = [
        {},
        {"dtype": "float32"},
        {"shape": [count]},
        {"dtype": "float32", "shape": [1, count]},
    ]
    values = [encoded(x.tobytes(), **way) for way in ways]
    values.append(values[-1].replace(b": ", b" :\t").replace(b", ", b" ,\n").replace(b'"}', b'" }'))
    found, ordinary = read_batch(Slices.of(values), range(5), LATEST, 10_000, count)
    assert ordinary.all()
    for one in found:
        assert np.asarray(one.input).tobytes() == x.astype(np.float64).tobytes()
    assert not read_batch(Slices.of(values), range(5), LATEST, 10_000, count - 1)[1].any()
    both_ways([ORDINARY] * FEWEST_OF_A_BLOCK + values, input_length=count, record_bytes=10_000)


GOOD64 = encoded(bytes(8), dtype="float32", shape=[2])


@pytest.mark.parametrize(
    "value",
    [
        encoded(bytes(8), dtype="float64"), encoded(bytes(8), dtype="uint8"), encoded(bytes(7)), encoded(b""),
        encoded(bytes(8), shape=[3]), encoded(bytes(8), shape=[]), encoded(bytes(4), shape=[]),
        encoded(bytes(8), shape=[2, 1, 10**18]), encoded(bytes(8), shape=[2**32, 2**32, 2]),
        encoded(bytes(8), shape=[-2]), encoded(bytes(8), shape=[2.0]), encoded(bytes(8), shape=[0]),
        encoded(bytes(8), shape=None), encoded(bytes(8), dtype=None), encoded(bytes(8), other=1),
        encoded(b"\0\0\xc0\x7f"), encoded(b"\0\0\x80\xff"), encoded(b"\1\0\x80\x7f" * 20),
        GOOD64.replace(b"A=", b"B="), GOOD64.replace(b"A=", b"=="), GOOD64.replace(b"=", b""),
        GOOD64.replace(b"=", b"=="), GOOD64.replace(b"AAAA", b"AA-A", 1), GOOD64.replace(b"AAAA", b"AA A", 1),
        GOOD64.replace(b"AAAA", b"AA\\u0041A", 1), GOOD64.replace(b"[2]", b"[02]"),
        GOOD64.replace(b"[2]", b"[2,]"),
        GOOD64.replace(b'"shape"', b'"b64"'), GOOD64.replace(b"[2]", b"[[2]]"),
        GOOD64.replace(b"float32", b"float3"),
        GOOD64.replace(b"[1.0, 2]", b"{}"), ORDINARY.replace(b"[1.0, 2]", b"{}"), GOOD64[:-1], GOOD64[:-16],
        *(GOOD64[:cut] for cut in range(60, len(GOOD64), 3)),
    ],
)  # fmt: skip
def test_odd_base64_is_read_as_it_is_alone(value: bytes) -> None:
    both_ways([GOOD64] * FEWEST_OF_A_BLOCK + [value] + [GOOD64] * 2 + [value])


@given(st.binary(max_size=80), st.integers(0, 2**32))
def test_any_bytes_in_base64_both_ways(content: bytes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [GOOD64] * FEWEST_OF_A_BLOCK
    for shaped in ({}, {"shape": [len(content) // 4]}, {"dtype": "float32"}):
        value = bytearray(encoded(content, **shaped))
        values.append(bytes(value))
        value[int(rng.integers(len(value)))] = int(
            rng.choice(list(b'A=/+9"},]{:[ \0\x80') + list(range(256)))
        )
        values.append(bytes(value))
    both_ways(values)


def at(text: str) -> bytes:
    return ORDINARY.replace(b"1.5", json.dumps(text).encode())


@given(
    st.datetimes(datetime(1970, 1, 3), datetime(2026, 1, 1)),  # noqa: DTZ001
    st.text("0123456789", max_size=9),
    st.sampled_from(["Z", "z", "+00:00", "-00:00", "+23:59", "-23:59", "+05:30"]),
    st.sampled_from("Tt "),
)
def test_times_are_read_by_the_kernel_as_they_are_alone(
    when: datetime, fraction: str, zone: str, between: str
) -> None:
    text = when.strftime(f"%Y-%m-%d{between}%H:%M:%S") + (f".{fraction}" if fraction else "") + zone
    found, ordinary = read_batch(Slices.of([at(text)]), [0], LATEST, 2000, 20)
    assert ordinary.all()
    assert bits(found.times[0]) == bits(rfc3339_seconds(text))


TIME = "2024-02-29T23:59:60.123456789-11:30"


@pytest.mark.parametrize(
    "text",
    [
        TIME, "2023-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-04-31T00:00:00Z",
        "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-12-31T24:00:00Z",
        "2024-12-31T23:60:00Z", "2024-12-31T23:59:61Z", "2024-12-31T23:59:59", "2024-12-31T23:59:59+24:00",
        "2024-12-31T23:59:59+10:60", "2024-12-31T23:59:59+1000", "2024-12-31T23:59:59.Z", "2024-12-31",
        "2024", "2024-12-31T23:59:59.1234567890Z", "1970-01-01T00:00:00.5Z", "1969-12-31T23:59:59Z", "",
        "1970-01-01T00:30:00+01:00", "9999-12-31T23:59:59-23:59", "2024-12-31 23:59:59Z ",
        "1970-01-01T00:00:00Z", "0000-01-01T00:00:00Z",
        *(TIME[:cut] + other + TIME[cut + 1 :] for cut in range(len(TIME)) for other in ("x", "0", "9", "")),
    ],
)  # fmt: skip
def test_odd_times_are_read_as_they_are_alone(text: str) -> None:
    both_ways([ORDINARY] * FEWEST_OF_A_BLOCK + [at(text), at(text)[:-1], at(text)[: 25 + len(text) // 2]])


def test_few_values_are_read_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read = decoder()
    batch = RawBatch("log", 0, [ORDINARY] * 20, list(range(20)), LATEST)
    at_one_go = plain(read.decode(batch))
    monkeypatch.setattr(native, "FEWEST_OF_A_BLOCK", 21)
    assert plain(read.decode(batch)) == at_one_go


@pytest.mark.parametrize("place", [0, 1, 62, 63, 64, 65, 127, 128, 200])
def test_long_ids_are_plain_to_their_last_letter(place: int) -> None:
    long = bytes(33 + n % 58 for n in range(201)).replace(b'"', b"!")
    values = [ORDINARY.replace(b'"c"', b'"%s"' % long[: place + 1])]
    for odd in (b"\\", b"\x1f", b"\x7f", b"\xc3\xa9", b'"'):
        values.append(ORDINARY.replace(b'"c"', b'"%s"' % (long[:place] + odd + long[place + 1 :])))
    both_ways([ORDINARY] * FEWEST_OF_A_BLOCK + values + [ORDINARY] * 2)


def test_later_texts_of_a_batch_may_hold_more_of_everything() -> None:
    def value(letters: int, count: int) -> bytes:
        answers = b'], "probabilities": [' + b", ".join([b"0.125"] * min(count, 500)) + b"]}"
        numbers = b", ".join(b"%d.25" % n for n in range(count))
        return ORDINARY.replace(b'"c"', b'"%s"' % (b"c" * letters)).replace(b"1.0, 2]}", numbers + answers)

    few, many = TEXT_BYTES // len(value(1, 1)), TEXT_BYTES // len(value(400, 2000))
    values = [*[value(1, 1)] * few, *[value(400, 2000)] * 3 * many, *[value(1, 1)] * few]
    found, ordinary = read_batch(Slices.of(values), range(len(values)), LATEST, 50_000, 2000)
    assert ordinary.all()
    for row in (0, few - 1, few, few + many, few + 3 * many - 1, few + 3 * many, len(values) - 1):
        expected = json.loads(values[row])
        assert found[row].client_id == expected["client_id"]
        assert list(found[row].input) == expected["input"]
        assert list(found[row].probabilities or ()) == expected["probabilities"]
