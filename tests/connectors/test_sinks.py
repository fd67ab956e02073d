"""What every sink promises, over every sink; and what each adds to it."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors.base import AlertSink, DeadLetterSink
from connectors.file_sinks import NdjsonAlertSink, NdjsonDeadLetterSink
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink, MemorySource
from connectors.sqlite import APPLICATION_ID, SqliteSink, read_alerts, read_dead_letters
from connectors.webhook import WebhookSink
from connectors.webhook_request import Format
from detector.alert import Alert
from detector.config import Webhook
from detector.errors import InputError, SinkNotReady, SinkUnavailable
from detector.query import DeadLetter
from tests.connectors.webhook_receiver import Receiver


def alert(number: int) -> Alert:
    document: dict[str, Any] = {
        "@timestamp": f"2026-11-24T10:15:{number:02}.118Z",
        "message": "Model inversion query pattern",
        "event": {"kind": "alert", "severity": 73, "risk_score": 81.4},
        "threat": {"technique": {"id": ["AML.T0024"], "subtechnique": {"id": ["AML.T0024.001"]}}},
        "user": {"id": "schlüssel"},
        "service": {"name": "fraud"},
        "querywatch": {"session": {"id": f"s-{number}", "queries": 12}, "evidence": {"series": [0.1, None]}},
    }
    return Alert(id=f"id-{number}", document=document, offset=number)


ALERTS = [alert(number) for number in range(5)]
LETTERS = [
    DeadLetter("not_json", "character 0: Expecting value", b"junk \xff\x00", "log", 0, 7),
    DeadLetter("bad_time", "timestamp: is 0", '{"é": 1}'.encode(), "log", 0, 8),
    DeadLetter("not_json", "character 0: Expecting value", b"", "log", 1, 7),
]


class Posted(WebhookSink):
    """A webhook with a receiver of its own, which is there from opening to the first closing."""

    def __init__(self, form: Format) -> None:
        self.receiver = Receiver()
        super().__init__(Webhook(url=self.receiver.url, format=form, batch_alerts=2))

    @property
    def alerts(self) -> list[Alert]:
        """What the receiver has."""
        return self.receiver.alerts

    def open(self) -> None:
        self.receiver.__enter__()
        super().open()

    def close(self) -> None:
        if self._pool is not None:
            self.receiver.__exit__(None, None, None)
        super().close()


SINKS: dict[str, Callable[[Path], AlertSink]] = {
    "file": lambda path: NdjsonAlertSink(str(path)),
    "sqlite": SqliteSink,
    "memory": lambda path: MemoryAlertSink(),
    "webhook": lambda path: Posted("json"),
    "webhook of lines": lambda path: Posted("ndjson"),
}
LETTER_SINKS: dict[str, Callable[[Path], DeadLetterSink]] = {
    "sqlite": SqliteSink,
    "memory": lambda path: MemoryDeadLetterSink(),
}


def stored(sink: AlertSink, path: Path) -> list[Alert]:
    if isinstance(sink, MemoryAlertSink | Posted):
        return sink.alerts
    if isinstance(sink, SqliteSink):
        return read_alerts(path)
    documents = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [Alert(document.pop("_id"), document, number) for number, document in enumerate(documents)]


@pytest.mark.parametrize("kind", SINKS)
def test_an_alert_written_twice_is_stored_once(kind: str, tmp_path: Path) -> None:
    sink = SINKS[kind](tmp_path / "alerts")
    assert sink.most_at_once >= 1
    sink.open()
    first = sink.write(ALERTS[:3])
    again = sink.write(ALERTS)
    within = sink.write([ALERTS[4], ALERTS[4]])
    assert (first.created, first.duplicates) == (3, 0)
    assert (again.created, again.duplicates) == (2, 3)
    assert (within.created, within.duplicates) == (0, 2)
    assert sink.write([]).created == 0
    assert stored(sink, tmp_path / "alerts") == ALERTS
    sink.close()
    assert stored(sink, tmp_path / "alerts") == ALERTS
    sink.close()


@pytest.mark.parametrize("kind", LETTER_SINKS)
def test_a_dead_letter_written_twice_is_stored_once(kind: str, tmp_path: Path) -> None:
    sink = LETTER_SINKS[kind](tmp_path / "letters")
    sink.open()
    sink.write_dead_letters(LETTERS[:2])
    sink.write_dead_letters(LETTERS)
    found = (
        sink.letters if isinstance(sink, MemoryDeadLetterSink) else read_dead_letters(tmp_path / "letters")
    )
    assert found == LETTERS
    sink.close()


def test_other_content_at_the_same_place_is_another_dead_letter(tmp_path: Path) -> None:
    one, other = (DeadLetter("not_json", "", raw, "stdin", 0, 7) for raw in (b"one", b"two"))
    sink = SqliteSink(tmp_path / "db")
    sink.open()
    for letters in ([one], [other], [one, other]):
        sink.write_dead_letters(letters)
    sink.close()
    assert sorted(letter.raw for letter in read_dead_letters(tmp_path / "db")) == [b"one", b"two"]


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_place_that_cannot_be_written_is_not_ready(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SinkNotReady, match=str(tmp_path)):
        SINKS[kind](tmp_path / "none" / "alerts").open()
    with pytest.raises(SinkNotReady, match=str(tmp_path)):
        SINKS[kind](tmp_path).open()


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_writing_before_opening_is_not_ready(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SinkNotReady, match="not open"):
        SINKS[kind](tmp_path / "alerts").write(ALERTS)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_files_are_for_their_owner_only(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        database = SqliteSink(tmp_path / "d.sqlite")
        database.open()
        database.write(ALERTS)
        alerts, letters = NdjsonAlertSink(str(tmp_path / "a")), NdjsonDeadLetterSink(str(tmp_path / "l"))
        alerts.open()
        alerts.write(ALERTS)
        letters.open()
        letters.write_dead_letters(LETTERS)
    finally:
        os.umask(before)
    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert made == dict.fromkeys(("a", "l", "d.sqlite", "d.sqlite-wal", "d.sqlite-shm"), 0o600)
    for sink in (database, alerts, letters):
        sink.close()


def test_the_alert_file_is_started_anew_at_open(tmp_path: Path) -> None:
    path = tmp_path / "alerts"
    path.write_text("old\n")
    sink = NdjsonAlertSink(str(path))
    sink.open()
    sink.write(ALERTS[:1])
    sink.close()
    assert path.read_bytes() == ALERTS[0].to_json() + b"\n"


def test_standard_output_takes_alerts(capfd: pytest.CaptureFixture[str]) -> None:
    sink = NdjsonAlertSink("-")
    sink.open()
    sink.write(ALERTS[:1])
    sink.close()
    assert capfd.readouterr().out.encode() == ALERTS[0].to_json() + b"\n"


def test_a_full_disk_is_tried_again_later() -> None:
    # /dev/full answers every write as a full disk does.
    sink = NdjsonAlertSink("/dev/full")
    sink.open()
    with pytest.raises(SinkUnavailable, match="No space left"):
        sink.write(ALERTS)
    sink.close()


def test_a_write_that_fails_half_way_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "alerts"
    sink = NdjsonAlertSink(str(path))
    sink.open()
    sink.write(ALERTS[:1])
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(SinkUnavailable):
            sink.write(ALERTS[1:])
    assert path.read_bytes() == ALERTS[0].to_json() + b"\n"
    assert sink.write(ALERTS[1:]).created == 4
    assert stored(sink, path) == ALERTS
    sink.close()


def test_the_dead_letter_file_is_made_with_the_first_letter(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    sink = NdjsonDeadLetterSink(str(path))
    sink.open()
    sink.write_dead_letters([])
    assert not path.exists()
    sink.write_dead_letters(LETTERS[:2])
    sink.write_dead_letters(LETTERS[2:])
    sink.close()
    first, second, third = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    assert first == {
        "reason": "not_json",
        "detail": "character 0: Expecting value",
        "source": "log",
        "partition": 0,
        "offset": 7,
        "raw_b64": "anVuayD/AA==",
    }
    assert (second["raw"], third["raw"], third["partition"]) == ('{"é": 1}', "", 1)


def test_the_dead_letters_of_an_earlier_run_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    path.write_text("old\n")
    sink = NdjsonDeadLetterSink(str(path))
    sink.open()
    assert not path.exists()
    sink.write_dead_letters(LETTERS)
    sink.close()
    assert len(path.read_text("utf-8").splitlines()) == 3


def test_the_database_has_columns_to_search_by(tmp_path: Path) -> None:
    path = tmp_path / "db"
    sink = SqliteSink(path)
    sink.open()
    sink.write(ALERTS[:1])
    sink.close()
    with closing(sqlite3.connect(path)) as database:
        row = database.execute(
            "SELECT timestamp, kind, severity, risk, client, model, technique, session FROM alerts"
        ).fetchone()
    assert row == (
        "2026-11-24T10:15:00.118Z",
        "alert",
        73,
        81.4,
        "schlüssel",
        "fraud",
        "AML.T0024.001",
        "s-0",
    )


def test_a_database_goes_on_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "db"
    for _ in range(2):
        sink = SqliteSink(path)
        sink.open()
        sink.write(ALERTS)
        sink.close()
    assert read_alerts(path) == ALERTS


def test_a_locked_database_is_tried_again_later(tmp_path: Path) -> None:
    path = tmp_path / "db"
    sink = SqliteSink(path, busy_seconds=0.05)
    sink.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SinkUnavailable, match="locked"):
            sink.write(ALERTS)
        other.execute("ROLLBACK")
    assert sink.write(ALERTS).created == 5
    sink.close()


def test_a_full_database_stores_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "db"
    sink = SqliteSink(path)
    sink.open()
    connection = sink._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    big = [DeadLetter("not_json", "", bytes(1000), "log", 0, offset) for offset in range(100)]
    with pytest.raises(SinkUnavailable, match="full"):
        sink.write_dead_letters(big)
    assert read_dead_letters(path) == []
    connection.execute(f"PRAGMA max_page_count = {pages + 4000}")
    sink.write_dead_letters(big)
    assert read_dead_letters(path) == big
    sink.close()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"this is no database " * 100)
    with pytest.raises(SinkNotReady, match="not a database"):
        SqliteSink(path).open()
    with pytest.raises(InputError, match="cannot be read"):
        read_alerts(path)
    with pytest.raises(InputError, match="no such database"):
        read_alerts(tmp_path / "none")


@pytest.mark.parametrize(
    "made_by",
    [
        "CREATE TABLE bookmarks (url TEXT)",
        "CREATE TABLE alerts (a TEXT)",
        "PRAGMA application_id = 252006673",
    ],
)
def test_the_database_of_another_program_is_refused(tmp_path: Path, made_by: str) -> None:
    path = tmp_path / "db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 3")
        database.execute(made_by)
    before = path.read_bytes()
    with pytest.raises(SinkNotReady, match="another program"):
        SqliteSink(path).open()
    assert path.read_bytes() == before


def test_a_database_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "db"
    sink = SqliteSink(path)
    sink.open()
    sink.write(ALERTS)
    sink.close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "PRAGMA application_id = 0; DROP TABLE dead_letters; CREATE TABLE dead_letters ("
            "source TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, reason TEXT NOT NULL,"
            "detail TEXT NOT NULL, raw BLOB NOT NULL, UNIQUE (source, partition, offset, reason)) STRICT;"
        )
        rows = [(e.source, e.partition, e.offset, e.reason, e.detail, e.raw) for e in LETTERS]
        database.executemany("INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.commit()
    sink.open()
    sink.write_dead_letters(LETTERS)
    sink.close()
    assert read_dead_letters(path) == LETTERS
    assert read_alerts(path) == ALERTS
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_the_memory_source_numbers_its_lines() -> None:
    batches = list(MemorySource([b"a", b"b", b"c"], batch_queries=2, latest=9.0).batches())
    assert [(b.values, b.offsets, b.latest) for b in batches] == [
        ([b"a", b"b"], [0, 1], 9.0),
        ([b"c"], [2], 9.0),
    ]
