"""Log files: whatever they hold is accounted for, in bounded memory and in order."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.files import FileSource
from connectors.streams import ByteStream
from detector.errors import InputError, SourceError
from detector.query import DeadLetter

LINES = [
    b'{"line": %d, "noise": "%s"}' % (i, random.Random(i).randbytes(40).hex().encode()) for i in range(5000)
]
TEXT = b"\n".join(LINES) + b"\n"


def source(*paths: str | Path, **options: Any) -> FileSource:
    defaults: dict[str, Any] = {"batch_queries": 1000, "record_bytes": 10_000, "latest": 2e9}
    return FileSource(paths, **(defaults | options))


def drain(files: FileSource) -> tuple[list[tuple[int, bytes]], list[DeadLetter]]:
    """Every (offset, line), and every dead letter."""
    lines: list[tuple[int, bytes]] = []
    letters: list[DeadLetter] = []
    for batch in files.batches():
        assert batch.latest == 2e9
        lines += zip(batch.offsets, batch.values, strict=True)
        letters += files.take_dead_letters()
    return lines, letters


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        TEXT.rstrip(b"\n"),
        gzip.compress(TEXT),
        gzip.compress(TEXT[:70_001]) + gzip.compress(TEXT[70_001:]) + b"\0" * 512,
        zstd(TEXT),
        zstd(TEXT[:70_001]) + zstd(TEXT[70_001:]),
    ],
    ids=["plain", "no final newline", "gzip", "gzip members, padded", "zstd", "zstd frames"],
)
def test_every_encoding_is_told_by_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "queries.log"
    path.write_bytes(content)
    files = source(path)
    assert files.bytes_total == len(content)
    lines, letters = drain(files)
    assert lines == list(enumerate(LINES))
    assert letters == []
    assert files.bytes_read == len(content)


def test_batches_hold_no_more_queries_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(TEXT)
    sizes = [len(batch.values) for batch in source(path, batch_queries=1999).batches()]
    assert sizes == [1999, 1999, 1002]


def test_an_empty_file_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    assert drain(source(path)) == ([], [])


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_truncated_stream_delivers_what_came_before(tmp_path: Path, compress: Any) -> None:
    path = tmp_path / "log"
    content = compress(TEXT)
    path.write_bytes(content[: len(content) // 2])
    lines, (letter,) = drain(source(path))
    assert 500 < len(lines) < len(LINES)
    assert lines == list(enumerate(LINES))[: len(lines)]
    assert (letter.reason, letter.source, letter.offset) == ("truncated", str(path), len(lines))
    assert LINES[len(lines)].startswith(letter.raw)
    assert f"byte {len(content) // 2}" in letter.detail


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_damaged_stream_ends_in_one_letter(tmp_path: Path, compress: Any) -> None:
    content = bytearray(compress(TEXT))
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    path = tmp_path / "log"
    path.write_bytes(content)
    lines, letters = drain(source(path))
    assert len(lines) > 500
    assert [line for line, _ in lines] == list(range(len(lines)))
    assert letters[-1].reason == "truncated"


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_wrong_checksum_costs_no_line(tmp_path: Path, compress: Any) -> None:
    content = bytearray(compress(TEXT))
    content[-8 if compress is gzip.compress else -1] ^= 1
    path = tmp_path / "log"
    path.write_bytes(content)
    lines, (letter,) = drain(source(path))
    assert lines == list(enumerate(LINES))
    assert (letter.reason, letter.raw) == ("truncated", b"")


def test_garbage_after_the_end_of_a_stream_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(TEXT) + b"garbage")
    lines, (letter,) = drain(source(path))
    assert len(lines) == len(LINES)
    assert letter.reason == "truncated"


def test_a_line_that_is_too_large_is_kept_whole_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    huge = b"x" * 3_000_000
    path.write_bytes(b"first\n" + huge + b"\nthird\n" + b"y" * 10_001 + b"\nlast")
    lines, letters = drain(source(path))
    assert lines == [(0, b"first"), (2, b"third"), (4, b"last")]
    assert [(e.reason, e.offset, len(e.raw)) for e in letters] == [
        ("too_large", 1, 3_000_000),
        ("too_large", 3, 10_001),
    ]
    assert letters[0].raw == huge


def test_beyond_all_bounds_a_line_is_skipped_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    huge = b"0123456789abcdef" * 2_000_000
    path.write_bytes(gzip.compress(b"first\n" + huge + b"\nlast\n", compresslevel=1))
    files = source(path, keep_bytes=2_000_000)
    tracemalloc.start()
    lines, (letter,) = drain(files)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [(0, b"first"), (2, b"last")]
    assert letter.raw == huge[: 1024 * 1024]
    assert str(len(huge)) in letter.detail
    assert hashlib.sha256(huge).hexdigest() in letter.detail
    assert peak < 12_000_000


def test_binary_junk_is_one_line_for_the_decoder_to_judge(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(bytes(range(11, 256)) * 20)
    lines, letters = drain(source(path))
    assert len(lines) == 1
    assert letters == []


class _Trickle(io.RawIOBase):
    """A file as a pipe gives it, a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)


@pytest.mark.parametrize("compress", [zstd, gzip.compress])
def test_a_decompression_bomb_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("connectors.streams._BOMB_BYTES", 20_000_000)
    path = tmp_path / "log"
    path.write_bytes(compress(b"good\n" + b"\0" * 60_000_000))
    lines, (letter,) = drain(source(path, keep_bytes=1_000_000))
    assert lines == [(0, b"good")]
    assert letter.reason == "truncated"
    assert "bomb" in letter.detail


COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How files begin that are not plain."""


@example([COMPRESSED[1]], 1)
@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 7))
def test_however_the_bytes_arrive_the_lines_are_the_same(chunks: list[bytes], size: int) -> None:
    content = b"".join(chunks)
    for encoded in (content, gzip.compress(content), zstd(content)):
        if encoded is content and content.startswith(COMPRESSED):
            continue
        slow = io.BufferedReader(_Trickle(encoded), buffer_size=size)
        assert b"".join(ByteStream(slow).pieces()) == content


def test_files_and_patterns_come_sorted_and_once(tmp_path: Path) -> None:
    for name in ("b.ndjson", "a.ndjson", "c.txt", "[1].ndjson"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "d.ndjson").mkdir()
    files = source(
        tmp_path / "c.txt", tmp_path / "[ab].ndjson", tmp_path / "a.ndjson", tmp_path / "[1].ndjson"
    )
    names = [Path(file.source).name for file in files.files]
    assert names == ["c.txt", "a.ndjson", "b.ndjson", "[1].ndjson"]


def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(TEXT))))
    files = source("-")
    assert files.bytes_total is None
    lines, letters = drain(files)
    assert lines == list(enumerate(LINES))
    assert letters == []
    assert files.files[0].source == "stdin"


def test_a_closed_standard_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        source("-")
    (tmp_path / "log").write_bytes(TEXT)
    assert drain(source(tmp_path / "log")) == (list(enumerate(LINES)), [])


def test_unreadable_paths_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(TEXT)
    for bad, says in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "is a directory"),
        (tmp_path / "*.gz", "no file matches"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(InputError, match=says):
            source(tmp_path / "good", bad)
    with pytest.raises(InputError, match="no log file"):
        source()


def test_a_file_without_read_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.touch()
    # The superuser may read anything, so the answer of the system is given here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="permission denied"):
        source(path)


def test_a_file_that_vanishes_is_a_source_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(TEXT)
    files = source(path)
    path.unlink()
    with pytest.raises(SourceError, match="No such file"):
        drain(files)
