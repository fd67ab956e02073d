"""What every sink promises, over every sink; and what each adds to it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.base import AlertSink, DeadLetterSink
from connectors.file_sinks import NdjsonAlertSink, NdjsonDeadLetterSink
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink
from connectors.sqlite import SqliteSink, read_alerts, read_dead_letters
from connectors.webhook import WebhookSink
from connectors.webhook_request import Format
from detector.alert import Alert
from detector.config import Webhook
from detector.errors import SinkNotReady, SinkUnavailable
from detector.query import DeadLetter
from tests.connectors.stored import ALERTS, LETTERS
from tests.connectors.webhook_receiver import Receiver


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
