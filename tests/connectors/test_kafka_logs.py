"""What kafka-python logs of its connections reaches people when it says something."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from kafka.net.transport import KafkaTCPTransport

import connectors.kafka_connection  # noqa: F401


class _Network:
    """What a connection that is closed asks of the network's loop."""

    def unregister_event(self, *of: Any) -> None: ...

    def call_soon(self, *what: Any) -> None: ...


def read_once(*, closed: bool) -> None:
    """Read from a connection that was closed by itself, or else broken by the other side."""
    here, there = socket.socketpair()
    with here, there:
        connection: Any = KafkaTCPTransport(_Network(), here)
        if closed:
            connection.close()
        else:
            here.close()
        assert connection._sock_recv()[1] is not None


def test_a_connection_that_was_closed_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    read_once(closed=True)
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_connection_that_breaks_does(caplog: pytest.LogCaptureFixture) -> None:
    read_once(closed=False)
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
