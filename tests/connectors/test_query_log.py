"""Log files to records: in one order, each at a position of its own, whose file and line are known."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.files import FileSource
from connectors.formats.native import NativeDecoder
from connectors.query_log import QueryLog
from detector.decoded import Decoded
from detector.query import DeadLetter, Record


def source(*paths: str | Path, **options: Any) -> FileSource:
    defaults: dict[str, Any] = {"batch_queries": 1000, "record_bytes": 10_000, "latest": 2e9}
    return FileSource(paths, **(defaults | options))


def native(time: float, client: str) -> bytes:
    fields = {"timestamp": time, "model_id": "m", "client_id": client, "input": [1.0]}
    return json.dumps(fields).encode() + b"\n"


@pytest.fixture
def decoder() -> NativeDecoder:
    return NativeDecoder(record_bytes=10_000, nesting=16, input_length=10)


def read(files: FileSource, decoder: NativeDecoder) -> tuple[list[Record], list[DeadLetter], int]:
    letters: list[DeadLetter] = []
    log = QueryLog(files, decoder, letters.extend, batch_queries=3, window_seconds=5.0)

    def records() -> Iterator[Record]:
        for batch in log.batches():
            assert len(batch) > 0
            yield from batch

    return list(records()), letters, log.late


def test_one_file_keeps_its_order_and_line_numbers(tmp_path: Path, decoder: NativeDecoder) -> None:
    path = tmp_path / "log"
    path.write_bytes(native(10, "a") + b"junk\n\n" + native(1, "a") + native(11, "a"))
    records, letters, late = read(source(path), decoder)
    assert [(r.offset, r.timestamp) for r in records] == [(0, 10.0), (3, 1.0), (4, 11.0)]
    assert [(e.offset, e.reason) for e in letters] == [(1, "not_json")]
    assert late == 1


def test_several_files_are_merged_and_numbered_anew(tmp_path: Path, decoder: NativeDecoder) -> None:
    (tmp_path / "a").write_bytes(b"".join(native(t, "a") for t in (1, 3, 5, 7)) + b"junk\n")
    (tmp_path / "b").write_bytes(gzip.compress(b"".join(native(t, "b") for t in (2, 3, 8)))[:-4])
    records, letters, late = read(source(tmp_path / "*"), decoder)
    order = [(r.timestamp, r.client_id) for r in records]
    assert order == [(1, "a"), (2, "b"), (3, "a"), (3, "b"), (5, "a"), (7, "a"), (8, "b")]
    assert [r.offset for r in records] == list(range(7))
    assert {(e.reason, Path(e.source).name, e.offset) for e in letters} == {
        ("not_json", "a", 4),
        ("truncated", "b", 3),
    }
    assert late == 0


def test_days_in_a_file_each_stay_columns_and_know_their_lines(
    tmp_path: Path, decoder: NativeDecoder
) -> None:
    for day in range(3):
        lines = [native(1000.0 * day + n + 1, f"c{n % 5}") for n in range(300)]
        lines.insert(100, b"junk\n")
        (tmp_path / f"{day}").write_bytes(b"".join(lines))
    letters: list[DeadLetter] = []
    files = source(tmp_path / "*")
    log = QueryLog(files, decoder, letters.extend, batch_queries=3, window_seconds=5.0)
    offsets: list[int] = []
    origins: list[tuple[str, int]] = []
    for batch in log.batches():
        assert isinstance(batch, Decoded)
        offsets += batch.offsets.tolist()
        for record in batch:
            told = log.at_its_origin(DeadLetter("bad_time", "", b"", "", 0, record.offset))
            origins.append((Path(told.source).name, told.offset))
    assert offsets == list(range(900))
    assert origins == [(str(day), n) for day in range(3) for n in range(301) if n != 100]
    assert [(Path(letter.source).name, letter.offset) for letter in letters] == [
        ("0", 100), ("1", 100), ("2", 100)
    ]  # fmt: skip
    assert log.late == 0
