"""How far a read has come is told while somebody listens, and the work goes on when nobody does any more."""

from __future__ import annotations

import os
import pty
import sys

import pytest

from detector import progress
from detector.progress import Reading


class Half:
    bytes_read, bytes_total = 50, 100


def test_it_tells_share_and_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.0)
    with Reading("replay", Half()) as reading:
        reading.advance(4096)
        reading.advance(8192)  # within LINE_SECONDS
    said = capsys.readouterr().err
    assert said.startswith("replay: 50%, 4,096 queries, ")
    assert "8,192" not in said


def test_the_work_goes_on_when_the_one_who_read_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    reader, writer = os.pipe()
    os.close(reader)
    left = os.fdopen(writer, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", left)
    with Reading("replay", Half()) as reading:
        reading.advance(4096)
        reading.advance(8192)
    with pytest.raises(BrokenPipeError):  # so it was really written to
        left.close()


def test_the_work_goes_on_when_the_terminal_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, seen = pty.openpty()
    left = os.fdopen(seen, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", left)
    monkeypatch.setenv("TERM", "xterm")
    with Reading("replay", Half()) as reading:
        reading.advance(4096)
        os.close(terminal)
        with pytest.raises(OSError, match="Input/output error"):
            left.write("what is left in the buffer fails again\n")
        reading.advance(8192)
    with pytest.raises(OSError, match="Input/output error"):
        left.close()
