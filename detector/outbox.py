"""One sink with a queue and a thread of its own, so that a dead sink stands in no other's way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from connectors.base import MOST_AT_ONCE, AlertSink, DeadLetterSink
from detector.alert import Alert
from detector.errors import SinkError, SinkNotReady, SinkUnavailable
from detector.query import DeadLetter
from detector.self_alert import NO_OFFSET

MOST_BYTES_AT_ONCE = 16 << 20
"""Bytes of alerts and dead letters that one write may hold, unless a single one has more."""
ALERT_BYTES = 8192
"""What an alert is taken to be in memory."""

log = structlog.get_logger(__name__)


class Watcher(Protocol):
    """Who counts what the sinks do. Called from the outboxes' threads."""

    def wrote(self, sink: str, seconds: float) -> None:
        """A write was taken."""

    def failed(self, sink: str) -> None:
        """An attempt to open or write failed."""


@dataclass(frozen=True, slots=True)
class _Item:
    what: Alert | DeadLetter
    since: float

    @property
    def size(self) -> int:
        return len(self.what.raw) if isinstance(self.what, DeadLetter) else ALERT_BYTES


class Outbox:
    """Alerts and dead letters on their way to one sink, in order, repeated until the sink has taken them.

    `alerts` and `letters` are the sink in its two roles, None where it does not serve in one. `changed` is
    held for every change and notified after it; all outboxes of a service share it. `on_refused` takes the
    alerts that the sink refused, before they count as delivered. An `optional` sink that needs a person when
    it is first opened is tried on. The sink is opened, used and closed by the outbox's thread only.
    """

    def __init__(
        self,
        alerts: AlertSink | None,
        letters: DeadLetterSink | None,
        *,
        changed: threading.Condition,
        delay: Callable[[int], float],
        on_refused: Callable[[Sequence[DeadLetter]], None],
        watcher: Watcher,
        optional: bool = False,
    ) -> None:
        sink = alerts or letters
        if sink is None:
            raise ValueError("an outbox needs a sink")
        self.sink: AlertSink | DeadLetterSink = sink
        self.name = sink.name
        self.optional = optional
        self.takes_alerts, self.takes_letters = alerts is not None, letters is not None
        self.tried = False
        """True after the first attempt to open the sink."""
        self.refused: SinkNotReady | None = None
        """Why the first attempt to open it needs a person."""
        self.crashed: Exception | None = None
        """A fault of ours that ended the thread."""
        self.problem = ""
        self.failing_since: float | None = None
        """Clock (monotonic) of the first failure since the sink last took something."""
        self._alerts, self._letters = alerts, letters
        self._changed = changed
        self._delay = delay
        self._on_refused = on_refused
        self._watcher = watcher
        self._queue: list[_Item] = []
        self.waiting_bytes = 0
        """About what the queue takes in memory."""
        self._probe: list[_Item] = []
        self._open = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"outbox {self.name}", daemon=True)

    def start(self) -> None:
        """Open the sink, in its thread; `tried` tells when the first attempt is over."""
        self._thread.start()

    def put(self, items: Sequence[Alert | DeadLetter]) -> None:
        """Queue them; never blocks."""
        now = time.monotonic()
        with self._changed:
            added = [_Item(item, now) for item in items]
            self._queue += added
            self.waiting_bytes += sum(item.size for item in added)
            self._changed.notify_all()

    @property
    def unsettled(self) -> bool:
        """True while it holds something that came of a record: that is what saving waits for."""
        with self._changed:
            return any(item.what.offset != NO_OFFSET for item in self._queue)

    @property
    def waiting(self) -> int:
        """Alerts and dead letters that the sink has not taken yet."""
        return len(self._queue)

    def oldest(self, now: float) -> float:
        """Seconds for which the oldest of them has waited; 0 without any."""
        with self._changed:
            return now - self._queue[0].since if self._queue else 0.0

    def give_up(self) -> list[Alert]:
        """Take all that waits out of the queue, but for what is just being written to a sink that is up. The
        last write that failed is repeated all the same, since that shows when the sink is back."""
        with self._changed:
            written = 0 if self.failing_since is not None else len(self._probe)
            given = [item.what for item in self._queue[written:] if isinstance(item.what, Alert)]
            if written:
                del self._queue[written:]
            else:
                self._queue = []
            self.waiting_bytes = sum(item.size for item in self._queue)
            self._changed.notify_all()
        return given

    def replace(self, sink: AlertSink) -> None:
        """Use another sink in the place of this one, an alert sink, from the next write on."""
        with self._changed:
            self._alerts = self.sink = sink
            self._open = False
            self._changed.notify_all()

    def ask_to_close(self) -> None:
        """Write no more and release the sink; `join` waits for it."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the thread. A write that hangs is left behind; its thread ends with the process."""
        if self._thread.is_alive():
            self._thread.join(max(seconds, 0.0))
            if self._thread.is_alive():
                log.warning("a write hangs and is left behind", sink=self.name)

    def _run(self) -> None:
        opened: AlertSink | DeadLetterSink | None = None
        attempt = 0
        try:
            while not self._closing:
                with self._changed:
                    sink, reopen = self.sink, not self._open
                try:
                    if reopen:
                        if opened is not None and opened is not sink:
                            opened.close()
                        opened = sink
                        self._open_sink(sink)
                    if not self._write():
                        return
                    attempt = 0
                except SinkError as error:
                    attempt += 1
                    self._fail(error, attempt)
                    if self.refused is not None:
                        return
                    self._pause(self._delay(attempt) + _asked(error))
        except Exception as error:
            with self._changed:
                self.crashed = error
                self._changed.notify_all()
        finally:
            if opened is not None:
                opened.close()

    def _open_sink(self, sink: AlertSink | DeadLetterSink) -> None:
        sink.open()
        with self._changed:
            self._open = self.sink is sink
            self.tried = True
            if not self._queue:
                self._recovered()
            self._changed.notify_all()

    def _write(self) -> bool:
        """Wait for something to write, and write it; False when told to close."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._queue or self._probe or not self._open)
            if self._closing:
                return False
            if not self._open:
                return True
            queue, alert_sink = self._queue, self._alerts
            chunk = self._probe = self._first() or self._probe
        started = time.monotonic()
        alerts = [item.what for item in chunk if isinstance(item.what, Alert)]
        letters = [item.what for item in chunk if isinstance(item.what, DeadLetter)]
        if alerts and alert_sink is not None:
            refused = alert_sink.write(alerts).rejected
            if refused:
                self._on_refused(refused)
        if letters and self._letters is not None:
            self._letters.write_dead_letters(letters)
        self._watcher.wrote(self.name, time.monotonic() - started)
        with self._changed:
            self._probe = []
            if queue is self._queue:  # else it was given up meanwhile
                del queue[: len(chunk)]
                self.waiting_bytes -= sum(item.size for item in chunk)
            self._recovered()
            self._changed.notify_all()
        return True

    def _first(self) -> list[_Item]:
        """As many from the head of the queue as one write may hold."""
        size, count = 0, 0
        most = MOST_AT_ONCE if self._alerts is None else self._alerts.most_at_once
        for item in self._queue[:most]:
            size += item.size
            if count and size > MOST_BYTES_AT_ONCE:
                break
            count += 1
        return self._queue[:count]

    def _recovered(self) -> None:
        if self.failing_since is not None:
            log.info("the sink takes alerts again", sink=self.name)
        self.failing_since, self.problem = None, ""

    def _fail(self, error: SinkError, attempt: int) -> None:
        self._watcher.failed(self.name)
        needs_a_person = isinstance(error, SinkNotReady)
        last_words = error if isinstance(error, SinkNotReady) and not (self.tried or self.optional) else None
        if last_words is None:  # else it ends the service, with this as its last words
            what = (
                "cannot deliver until a person mends this"
                if needs_a_person
                else "cannot deliver, trying again"
            )
            log.error(what, sink=self.name, problem=str(error), attempt=attempt)
        with self._changed:
            if last_words is not None:
                self.refused = last_words
            self.tried = True
            self.problem = str(error)
            if self.failing_since is None:
                self.failing_since = time.monotonic()
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._changed:
            opened = self._open
            self._changed.wait_for(lambda: self._closing or self._open is not opened, seconds)


def _asked(error: SinkError) -> float:
    """Seconds for which the sink asked to be left alone."""
    return error.retry_after if isinstance(error, SinkUnavailable) else 0.0
