"""What is fuzzed: functions of bytes that return when a decoder did what it must, and raise otherwise.

Each compares two ways to read the same bytes, of which one is plain, so that a wrong result is found and not
only a crash. Nothing here knows the fuzzer; the tests run the same functions over the seeds.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import zstandard

from benchmarks.faults.broken import INPUT_LENGTH, NESTING, RECORD_BYTES
from connectors.file_sinks import NdjsonDeadLetterSink, read_letter_file
from connectors.files import LogFile
from connectors.formats.careful import BYTE_ORDER_MARK, read_record
from connectors.formats.fields import BadRecord
from connectors.formats.native import FEWEST_OF_A_BLOCK, NativeDecoder
from connectors.memory import MemoryAlertSink
from connectors.pseudonyms import MARK, PseudonymDecoder
from connectors.streams import ByteStream, DamagedStream
from detector.container import MAGIC, Damaged, unpack
from detector.errors import InputError
from detector.pipeline import Shard
from detector.query import REASONS, DeadLetter, RawBatch, Record
from detector.resend import OF_ALERTS, send
from detector.settings import Settings
from detector.shard_state import canonical_digest, dump, restore
from detector.slices import END, Slices
from tests.connectors.formats.compared import plain

LATEST = 2e9
HASHED = ("client_id", "session_id", "request_id", "source_ip")
ORDINARY = [
    b'{"timestamp": %d.5, "model_id": "m", "client_id": "c", "input": [1.0, %d], "probabilities": [0.5, 0.5]}'
    % (n + 1, n * n)
    for n in range(FEWEST_OF_A_BLOCK)
]
"""Make a batch large enough for the compiled kernel, and a session long enough to be judged."""
MEMORY = 1 << 17
"""Of a fuzzed shard [bytes]."""
STEP = 5
"""Records of a batch, where one run of the core is cut into several."""
MOST_PLAIN_BYTES = 64 << 20
"""What a reference decompressor may unfold to; beyond, only the decoder itself is looked at."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def records(data: bytes) -> None:
    """One record alone: the quick reading gives what the careful one gives, and so do hashed ids."""
    decoder = _decoder()
    batch = RawBatch("log", 3, [data], [0], LATEST)
    found, letters = decoder.decode(batch)
    blank = not data.removeprefix(BYTE_ORDER_MARK).strip()
    _demand(len(found) + len(letters) == (not blank), "not one record or one dead letter")
    if not blank and len(data) <= RECORD_BYTES:
        _demand(plain((found, letters)) == plain(_careful(data)), "quick and careful reading differ")
    _demand(all(letter.reason in REASONS for letter in letters), "an unknown reason")
    hidden, same = PseudonymDecoder(_decoder(), "0123456789abcdef", HASHED).decode(batch)
    _demand(same == letters and len(hidden) == len(found), "hashed ids change what is read")
    for one in hidden:
        shown = [value for value in map(one.__getattribute__, HASHED) if value]
        _demand(all(value.startswith(MARK) and len(value) == 37 for value in shown), "an id is not hashed")


def blocks(data: bytes) -> None:
    """Lines among ordinary records: the compiled kernel gives what reading each alone gives."""
    lines = data.split(b"\n")
    values = [*ORDINARY[: FEWEST_OF_A_BLOCK // 2], *lines, *ORDINARY[FEWEST_OF_A_BLOCK // 2 :]]
    offsets = list(range(len(values)))
    together = _decoder().decode(RawBatch("log", 3, values, offsets, LATEST))
    alone = _decoder()
    found: list[Record] = []
    letters: list[DeadLetter] = []
    for offset, value in zip(offsets, values, strict=True):
        one, bad = alone.decode(RawBatch("log", 3, [value], [offset], LATEST))
        found += one
        letters += bad
    _demand(plain(together) == plain((found, letters)), "kernel and plain reading differ")
    of_a_file = Slices.lines(b"".join(value + b"\n" for value in values) + END)
    together = _decoder().decode(RawBatch("log", 3, of_a_file, offsets, LATEST))
    _demand(plain(together) == plain((found, letters)), "lines of a file are read otherwise")


def files(data: bytes) -> None:
    """A log file: plain, gzip, zstd, cut off or changed; its lines are those that any other reader finds.

    The first byte says what is made of the rest: as it is, or compressed first and perhaps damaged.
    """
    content, original = _packed(data[:1], data[1:])
    unpacked, damaged = _unpacked(content)
    if original is not None:
        _demand(unpacked == original and not damaged, "a sound stream is not read whole")
    reference = _reference(content)
    if reference is not None:
        _demand(reference.startswith(unpacked), "other bytes than the library's")
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        log = LogFile(file.name, batch_queries=7, record_bytes=200, latest=LATEST, keep_bytes=1000)
        lines: dict[int, bytes] = {}
        letters: list[DeadLetter] = []
        for batch in log.batches():
            _demand(not lines.keys() & set(batch.offsets), "a line comes twice")
            lines |= dict(zip(batch.offsets, batch.values, strict=True))
            letters += log.take_dead_letters()
    kept = dict(lines)
    kept |= {letter.offset: letter.raw for letter in letters if letter.reason == "too_large"}
    expected = unpacked.split(b"\n")
    tail = expected.pop()
    if damaged:
        _demand(letters[-1].reason == "truncated", "a damaged stream without a dead letter")
    elif tail:
        expected.append(tail)
    _demand(sorted(kept) == list(range(len(expected))), "not as many lines as there are")
    for number, line in enumerate(expected):
        whole = len(line) <= 1000
        _demand(kept[number] == line if whole else line.startswith(kept[number]), "another line")
        _demand((number in lines) == (len(line) <= 200), "a line on the wrong side of the limit")


def letters(data: bytes) -> None:
    """A file of dead letters: read or refused by line; it comes back as it was, and only alerts are sent."""
    with tempfile.TemporaryDirectory() as folder:
        file, copy = Path(folder) / "letters", Path(folder) / "copy"
        file.write_bytes(data)
        try:
            found = list(read_letter_file(file))
        except InputError:
            return
        sink = NdjsonDeadLetterSink(str(copy))
        sink.write_dead_letters(found)
        sink.close()
        _demand(not found or list(read_letter_file(copy)) == found, "a dead letter comes back changed")
    sent = MemoryAlertSink()
    account = send(found, {sent.name: sent})
    of_alerts = [letter for letter in found if letter.reason in OF_ALERTS]
    counted = account.stored + account.already + account.unreadable + sum(account.elsewhere.values())
    _demand(account.read == len(found) and counted <= len(of_alerts), "letters are counted wrongly")
    _demand(
        account.well == (not account.unreadable and not account.elsewhere), "what is not sent is not told"
    )
    _demand(len(sent.alerts) == account.stored, "another number of alerts is sent")


def containers(data: bytes) -> None:
    """What profiles and states are stored in, under a checksum that is right: read, or refused as damaged."""
    checked = MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n" + data
    for content in (data, checked):
        try:
            meta, arrays = unpack(content)
        except (Damaged, MemoryError):  # a forged checksum may come with any size
            continue
        _demand(content is checked, "content without a checksum is taken")
        _demand(all(array.dtype != object for array in arrays.values()), "an array of objects")
        _demand(meta is not None, "no JSON")


def cores(data: bytes) -> None:
    """Lines through decoder and core: the same state and alerts however they are batched, and restarted."""
    lines = [*ORDINARY, *data.split(b"\n")]
    decoded, _ = _decoder().decode(RawBatch("log", 3, lines, list(range(len(lines))), LATEST))
    settings = Settings(memory=MEMORY)
    whole, pieces = Shard(settings, {}, "log", 3), Shard(settings, {}, "log", 3)
    outcome = whole.process(decoded)
    alerts, letters, queries = [], [], 0
    for start in range(0, len(decoded), STEP):
        piece = pieces.process(decoded[start : start + STEP])
        alerts += piece.alerts
        letters += piece.dead_letters
        queries += piece.queries
        if start == 2 * STEP:
            pieces = restore(dump(pieces), settings, {})
    _demand(queries + len(letters) == len(decoded), "a record is gone")
    _demand(outcome.queries == queries and outcome.dead_letters == letters, "batching changes what is read")
    _demand([a.document for a in outcome.alerts] == [a.document for a in alerts], "batching changes alerts")
    _demand(canonical_digest(dump(whole)) == canonical_digest(dump(pieces)), "batching changes the state")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "records": records,
    "blocks": blocks,
    "files": files,
    "letters": letters,
    "containers": containers,
    "cores": cores,
}
"""Every function, by the name of what it reads."""


def _demand(condition: bool, problem: str) -> None:
    if not condition:
        raise AssertionError(problem)


def _decoder() -> NativeDecoder:
    return NativeDecoder(record_bytes=RECORD_BYTES, nesting=NESTING, input_length=INPUT_LENGTH)


def _careful(data: bytes) -> tuple[list[Record], list[DeadLetter]]:
    try:
        return [read_record(data, 0, LATEST, NESTING, INPUT_LENGTH)], []
    except BadRecord as bad:
        return [], [DeadLetter(bad.reason, bad.detail, data, "log", 3, 0)]


def _packed(kind: bytes, rest: bytes) -> tuple[bytes, bytes | None]:
    """A file made of bytes: as they are, compressed, cut off, or with one byte changed; and what must be
    read, where that is known."""
    how = kind[0] if kind else 0
    if how % 8 < 2:
        compressed = rest.startswith((_GZIP, _ZSTD))
        return rest, None if compressed else rest
    whole = gzip.compress(rest, 1, mtime=0) if how % 2 else zstandard.ZstdCompressor(level=1).compress(rest)
    at = how // 8 * len(whole) // 32
    if how % 8 < 4:
        return whole, rest
    if how % 8 < 6:
        return whole[:at], None
    return whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :], None


def _unpacked(content: bytes) -> tuple[bytes, bool]:
    """What the decoder unfolds, and whether it says that the stream is damaged."""
    pieces = []
    try:
        for piece in ByteStream(io.BytesIO(content)).pieces():
            pieces.append(piece)
    except DamagedStream:
        return b"".join(pieces), True
    return b"".join(pieces), False


def _reference(content: bytes) -> bytes | None:
    """What another reader unfolds; None where it finds damage, or where it would take too much memory."""
    try:
        if content.startswith(_GZIP):
            with gzip.open(io.BytesIO(content)) as stream:
                found = stream.read(MOST_PLAIN_BYTES)
        elif content.startswith(_ZSTD):
            decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
            with decompressor.stream_reader(io.BytesIO(content), read_across_frames=True) as reader:
                found = reader.read(MOST_PLAIN_BYTES)
        else:
            return content
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):
        return None
    return found if len(found) < MOST_PLAIN_BYTES else None
