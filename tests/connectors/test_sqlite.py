"""The embedded database: what it adds to what every sink promises."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from connectors.sqlite import APPLICATION_ID, SqliteSink, read_alerts, read_dead_letters
from detector.errors import InputError, SinkNotReady, SinkUnavailable
from detector.query import DeadLetter
from tests.connectors.stored import ALERTS, LETTERS


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
