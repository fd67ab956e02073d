"""The embedded database: alerts and dead letters in one SQLite file, each stored once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from connectors.base import MOST_AT_ONCE, Delivery
from detector.alert import Alert
from detector.errors import InputError, SinkNotReady, SinkUnavailable
from detector.query import DeadLetter

APPLICATION_ID = int.from_bytes(b"QWdb")
"""In the header of every database made here, by which another program's is told."""
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS alerts (
    id TEXT PRIMARY KEY, timestamp TEXT, kind TEXT, message TEXT, severity INTEGER, risk REAL,
    client TEXT, model TEXT, technique TEXT, session TEXT, position INTEGER NOT NULL, document TEXT NOT NULL
) STRICT""",
    "CREATE INDEX IF NOT EXISTS alerts_by_time ON alerts (timestamp)",
    """CREATE TABLE IF NOT EXISTS dead_letters (
    source TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, raw BLOB NOT NULL, sha256 TEXT NOT NULL,
    UNIQUE (source, partition, offset, reason, sha256)
) STRICT""",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
_INSERT_ALERT = "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_INSERT_LETTER = (
    "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (source, partition, offset, reason, sha256) DO NOTHING"
)
_BUSY_SECONDS = 5.0
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_INTERRUPT,
}


class SqliteSink:
    """Alerts and dead letters in the SQLite file `path`, which is made readable by its owner only.

    What is delivered twice is stored once: alerts by id, dead letters by source, partition, offset, reason
    and content. To be used from the thread that opened it.
    """

    most_at_once = MOST_AT_ONCE

    def __init__(self, path: str | Path, *, busy_seconds: float = _BUSY_SECONDS) -> None:
        self._path = Path(path)
        self._busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None
        self.name = f"sqlite {self._path}"

    def open(self) -> None:
        """Create the file and its tables.

        Raises SinkNotReady, also for another program's database, which is left as it is; SinkUnavailable.
        """
        self.close()
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise SinkNotReady(self.name, f"cannot be opened for writing: {error.strerror}") from error
        with self._translated():
            connection = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)
            try:
                self._make_tables(connection)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            except BaseException:
                connection.close()
                raise
            self._connection = connection

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        """Store the alerts that are new, in one transaction. Raises SinkUnavailable or SinkNotReady."""
        created = self._insert(_INSERT_ALERT, [_alert_row(alert) for alert in alerts])
        return Delivery(created=created, duplicates=len(alerts) - created)

    def write_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Store the letters that are new, in one transaction. Raises SinkUnavailable or SinkNotReady."""
        rows = [
            (e.source, e.partition, e.offset, e.reason, e.detail, e.raw, hashlib.sha256(e.raw).hexdigest())
            for e in letters
        ]
        self._insert(_INSERT_LETTER, rows)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables in an empty database; raises SinkNotReady for one that is not ours."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        # Databases of the first versions carry no application id.
        ours = application == APPLICATION_ID or (application == 0 and tables >= {"alerts", "dead_letters"})
        if not ours and (application or tables):
            raise SinkNotReady(self.name, "is a database of another program; name another file")
        if application == APPLICATION_ID:
            return
        with _transaction(connection):
            columns = {row[1] for row in connection.execute("PRAGMA table_info (dead_letters)")}
            earlier = bool(columns) and "sha256" not in columns
            if earlier:
                connection.execute("ALTER TABLE dead_letters RENAME TO earlier_dead_letters")
            for statement in _SCHEMA:
                connection.execute(statement)
            if earlier:
                letters = connection.execute("SELECT * FROM earlier_dead_letters").fetchall()
                rows = [(*letter, hashlib.sha256(letter[-1]).hexdigest()) for letter in letters]
                connection.executemany(_INSERT_LETTER, rows)
                connection.execute("DROP TABLE earlier_dead_letters")

    def _insert(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert rows, all or none; how many were new."""
        if self._connection is None:
            raise SinkNotReady(self.name, "is not open")
        connection = self._connection
        with self._translated(), _transaction(connection):
            return connection.executemany(statement, rows).rowcount if rows else 0

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Let SQLite's errors leave as SinkUnavailable (try again) or SinkNotReady (a person must act)."""
        try:
            yield
        except sqlite3.Error as error:
            # Extended codes carry the plain one in their low byte.
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _PASSING:
                raise SinkUnavailable(self.name, f"cannot be written now: {error}") from error
            raise SinkNotReady(self.name, f"cannot be written: {error}") from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is done within, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def is_database(path: str | Path) -> bool:
    """Whether a file is an SQLite database; False also for one that cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def read_alerts(path: str | Path) -> list[Alert]:
    """All alerts of a database, by time, then id. Raises InputError when it cannot be read."""
    rows = _read(path, "SELECT id, document, position FROM alerts ORDER BY timestamp, id")
    return [Alert(id=row[0], document=msgspec.json.decode(row[1]), offset=row[2]) for row in rows]


def read_dead_letters(path: str | Path, reasons: Sequence[str] = ()) -> list[DeadLetter]:
    """The dead letters of a database, all or those of some reasons, by source and position.

    Raises InputError when it cannot be read.
    """
    query = (
        "SELECT reason, detail, raw, source, partition, offset FROM dead_letters"
        " WHERE ?1 = '[]' OR reason IN (SELECT value FROM json_each(?1))"
        " ORDER BY source, partition, offset, reason"
    )
    return [DeadLetter(*row) for row in _read(path, query, msgspec.json.encode(list(reasons)).decode())]


def _read(path: str | Path, query: str, *given: str) -> list[Any]:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such database; `querywatch replay --db` or `run` writes one")
    try:
        uri = f"{Path(path).resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
            return connection.execute(query, given).fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read as a querywatch database ({error})") from error


def _alert_row(alert: Alert) -> tuple[Any, ...]:
    document = alert.document
    event = document.get("event", {})
    technique = document.get("threat", {}).get("technique", {})
    named = technique.get("subtechnique", technique).get("id", [None])
    return (
        alert.id,
        document.get("@timestamp"),
        event.get("kind"),
        document.get("message"),
        event.get("severity"),
        event.get("risk_score"),
        document.get("user", {}).get("id"),
        document.get("service", {}).get("name"),
        named[0],
        document.get("querywatch", {}).get("session", {}).get("id"),
        alert.offset,
        msgspec.json.encode(document, order="deterministic").decode("utf-8"),
    )
