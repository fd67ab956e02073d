"""Alerts of the dead letters to the sink that did not take them: which, and what is told of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.file_sinks import NdjsonDeadLetterSink, read_letter_file
from connectors.memory import MemoryAlertSink
from connectors.sqlite import SqliteSink, read_alerts, read_dead_letters
from detector.alert import Alert
from detector.errors import InputError
from detector.query import DeadLetter
from detector.resend import AT_ONCE, send
from tests.detector.conftest import Querywatch


def alert(n: int, **more: Any) -> Alert:
    document = {"event": {"kind": "alert"}, "querywatch": {"entity": {"id": "\u202e\x9b\n"}}, **more}
    return Alert(f"{n:040x}", document, n)


def letter(n: int, sink: str = "memory", reason: str = "sink_down", **more: Any) -> DeadLetter:
    return DeadLetter(reason, "why", alert(n, **more).to_json(), sink, -1, n)


def test_each_alert_goes_to_its_sink_once() -> None:
    one, other = MemoryAlertSink(), MemoryAlertSink()
    other.write([alert(3)])
    letters = [letter(n) for n in range(AT_ONCE + 5)] + [letter(2), letter(3, "other"), letter(4, "other")]
    letters.insert(1, DeadLetter("not_json", "", letter(7).raw, "memory", 0, 9))
    account = send(letters, {"memory": one, "other": other})
    assert [a.id for a in one.alerts] == [alert(n).id for n in range(AT_ONCE + 5)]
    assert [a.document for a in other.alerts] == [alert(3).document, alert(4).document]
    assert (account.read, account.stored, account.already) == (AT_ONCE + 9, AT_ONCE + 6, 2)
    assert account.well


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"7", b'{"_id": 7}', letter(1).raw.replace(b'"_id"', b'"id"'),
        letter(1).raw.replace(b"0001", b"../x"), b'{"_id": "%040x", "event": {}}' % 1,
        b'{"_id": "%040x", "event": 1, "querywatch": {}}' % 1,
    ],
)  # fmt: skip
def test_what_is_no_alert_of_ours_is_told_and_not_written(raw: bytes) -> None:
    sink = MemoryAlertSink()
    account = send([DeadLetter("rejected_by_sink", "", raw, "memory", -1, 1), letter(2)], {"memory": sink})
    assert [a.id for a in sink.alerts] == [alert(2).id]
    assert (account.unreadable, account.well) == (1, False)
    assert "1 hold no alert that can be read" in list(account.lines())


def test_from_the_configured_database_and_from_files(querywatch: Querywatch, tmp_path: Path) -> None:
    config = tmp_path / "q.toml"
    config.write_text('[sqlite]\npath = "querywatch.sqlite"\n')
    name = "sqlite querywatch.sqlite"
    database = SqliteSink("querywatch.sqlite")
    database.open()
    database.write([alert(1)])
    database.write_dead_letters([letter(n, name) for n in (1, 2)])
    database.write_dead_letters([DeadLetter("not_json", "", b"\xff", "queries", 0, 3)])
    database.close()
    file = NdjsonDeadLetterSink("replay.dead-letters.ndjson")
    file.write_dead_letters(
        [letter(3, name, "rejected_by_sink"), DeadLetter("not_json", "", b"\xff", "l", 0, 1)]
    )
    file.close()

    done = querywatch("resend", "--config", config)
    assert done.exit_code == 0
    assert "1 alerts stored, 1 were stored already" in done.output
    done = querywatch("resend", "replay.dead-letters.ndjson", "querywatch.sqlite", "--config", config)
    assert done.exit_code == 0
    assert "1 alerts stored, 2 were stored already" in done.output
    stored = read_alerts("querywatch.sqlite")
    assert [a.id for a in stored] == [alert(n).id for n in (1, 2, 3)]
    assert stored[2].document == alert(3).document
    assert len(read_dead_letters("querywatch.sqlite")) == 3, "dead letters stay"


def test_alerts_for_a_sink_that_is_not_configured_are_counted(querywatch: Querywatch, tmp_path: Path) -> None:
    file = NdjsonDeadLetterSink("x.ndjson")
    file.write_dead_letters([letter(1, "elasticsearch"), letter(2, "elasticsearch (replay)")])
    file.close()
    done = querywatch("resend", "x.ndjson")
    assert done.exit_code == 1
    assert "1 are for the sink 'elasticsearch', which the configuration does not name" in done.output
    assert "1 are for the sink 'elasticsearch (replay)'" in done.output


def test_a_letter_file_gives_back_what_was_written(tmp_path: Path) -> None:
    letters = [letter(1), DeadLetter("not_json", "d\u202e", b"\xff\n", "s", 3, 4)]
    sink = NdjsonDeadLetterSink(str(tmp_path / "l"))
    sink.write_dead_letters(letters)
    sink.close()
    assert list(read_letter_file(tmp_path / "l")) == letters


@pytest.mark.parametrize(
    "line",
    [b"", b"no", b"{}", b'{"reason":"a","detail":"","source":"","partition":0,"offset":0}',
     b'{"reason":"a","detail":"","source":"","partition":0,"offset":0,"raw_b64":"AA"}'],
)  # fmt: skip
def test_a_file_that_is_no_letter_file_is_named_with_the_line(
    querywatch: Querywatch, tmp_path: Path, line: bytes
) -> None:
    sink = NdjsonDeadLetterSink("l")
    sink.write_dead_letters([letter(1)])
    sink.close()
    (tmp_path / "l").write_bytes((tmp_path / "l").read_bytes() + line + b"\n")
    done = querywatch("resend", "l")
    assert done.exit_code == 2
    assert "l, line 2: is no dead letter" in done.output
    with pytest.raises(InputError):
        list(read_letter_file(tmp_path / "absent"))
