"""Sinks that are up or down as a test wants, and a dispatcher before them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from connectors.base import AlertSink, DeadLetterSink, Delivery
from connectors.memory import MemoryAlertSink
from detector.alert import Alert
from detector.config import Sinks
from detector.dispatcher import Dispatcher
from detector.errors import SinkError, SinkUnavailable
from detector.outputs import Outputs
from detector.query import DeadLetter

ALERTS = [Alert(f"id-{n}", {"@timestamp": "2026-11-24T10:00:00Z", "n": n}, n) for n in range(20)]
LETTERS = [DeadLetter("not_json", "", b"x", "topic", 0, n) for n in range(5)]
STEPS = ("put", "down one", "up one", "down other", "up other", "wait")
LONG = 30.0
"""Seconds that no healthy machine takes."""


class Count:
    """Counts what a watcher is told."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.failures: list[str] = []

    def wrote(self, sink: str, seconds: float) -> None:
        assert seconds >= 0.0
        self.writes.append(sink)

    def failed(self, sink: str) -> None:
        self.failures.append(sink)


class Switch(MemoryAlertSink):
    """A sink that is down until `up` is set; `stuck` lets a write hang until then instead."""

    def __init__(self, name: str, *, up: bool = True, error: type[SinkError] = SinkUnavailable) -> None:
        super().__init__()
        self.name = name
        self.up = threading.Event()
        self.tried = threading.Event()
        self.stuck = False
        self.closed = threading.Event()
        self._error = error
        if up:
            self.up.set()

    def open(self) -> None:
        self._answer()

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        self._answer()
        return super().write(alerts)

    def close(self) -> None:
        self.closed.set()

    def _answer(self) -> None:
        if self.stuck:
            self.tried.set()
            assert self.up.wait(LONG)
        if not self.up.is_set():
            self.tried.set()
            raise self._error(self.name, "is down")


@contextmanager
def dispatching(
    alerts: Sequence[AlertSink],
    letters: Sequence[DeadLetterSink] = (),
    sinks: Sinks | None = None,
    watcher: Count | None = None,
    delay: Callable[[int], float] = lambda attempt: 0.001,
    optional: Sequence[str] = (),
) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(
        Outputs(alerts, letters, optional), sinks or Sinks(), delay=delay, watcher=watcher or Count()
    )
    try:
        assert dispatcher.open(threading.Event())
        yield dispatcher
    finally:
        for sink in alerts:
            if isinstance(sink, Switch):
                sink.up.set()
        dispatcher.close()
