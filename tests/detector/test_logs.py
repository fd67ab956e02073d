"""Logs: nothing from strangers reaches a terminal unescaped, and no library tells a password."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest
import structlog

from detector import logs


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


def _log_an_error() -> None:
    password = "marked-secret"
    try:
        raise ValueError("no luck")
    except ValueError:
        structlog.get_logger("x").exception("failed", model="a\x1b[31m\nb\u202ec", known=len(password))


def test_a_terminal_gets_no_control_characters_and_no_local_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure()
    _log_an_error()
    logging.getLogger("library").warning("of %s", "d\x1b]0;title\x07e")
    said = terminal.getvalue()
    assert r"a\x1b[31m\nb\u202ec" in said
    assert r"of d\x1b]0;title\x07e" in said
    assert "ValueError: no luck" in said
    assert "marked-secret" not in said


def test_elsewhere_each_event_is_one_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure()
    _log_an_error()
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["model"] == "a\x1b[31m\nb\u202ec"
    assert "ValueError: no luck" in event["exception"]
    assert "marked-secret" not in line


def test_clients_that_log_what_they_send_never_do() -> None:
    logs.configure(logging.DEBUG)
    for name in ("kafka.protocol.parser", "kafka.net.connection", "elastic_transport.transport"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
