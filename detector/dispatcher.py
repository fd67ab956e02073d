"""Alerts and dead letters to all their sinks side by side: who has what, and what a dead sink may hold up.

Every sink has an outbox. The state of a shard may be saved when everything that it gave is *settled*: each
sink has stored it, or it has become a dead letter that is stored. Until then a restart reads it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from connectors.base import AlertSink, DeadLetterSink
from detector.alert import Alert
from detector.config import Sinks
from detector.outbox import Outbox, Watcher
from detector.outputs import Outputs
from detector.query import DeadLetter
from detector.watchdog import SinkState

CLOSE_SECONDS = 2.0
"""How long writes that hang may delay closing."""
MOST_WAITING_BYTES = 128 << 20
"""Bytes that may wait for one sink, whatever the number of alerts: dead letters hold whole records."""
OPEN_POLL = 0.2
"""Seconds between two looks at `stop` while sinks are opened."""

log = structlog.get_logger(__name__)


class Dispatcher:
    """The outboxes of all sinks of `outputs`. Its methods are called from one thread."""

    def __init__(
        self, outputs: Outputs, sinks: Sinks, *, delay: Callable[[int], float], watcher: Watcher
    ) -> None:
        self.sinks = sinks
        self._changed = threading.Condition()
        self._returned: list[DeadLetter] = []
        self._started = False
        pairs: dict[int, tuple[AlertSink | None, DeadLetterSink | None]] = {
            id(sink): (sink, None) for sink in outputs.alerts
        }
        for letter_sink in outputs.dead_letters:
            pairs[id(letter_sink)] = (pairs.get(id(letter_sink), (None, None))[0], letter_sink)
        self._outboxes = [
            Outbox(
                alerts,
                letters,
                changed=self._changed,
                delay=delay,
                on_refused=self._put_letters,
                watcher=watcher,
                optional=alerts is not None and alerts.name in outputs.optional,
            )
            for alerts, letters in pairs.values()
        ]

    def open(self, stop: threading.Event) -> bool:
        """Open all sinks, unless that is done. One that does not answer is tried on, down until it does.
        False when told to stop before. Raises SinkNotReady."""
        if not self._started:
            self._started = True
            for outbox in self._outboxes:
                outbox.start()
        with self._changed:
            while not all(outbox.tried or outbox.crashed for outbox in self._outboxes):
                if stop.is_set():
                    return False
                self._changed.wait(OPEN_POLL)
        for outbox in self._outboxes:
            if outbox.refused is not None:
                raise outbox.refused
        self.tend()
        return True

    def close(self) -> None:
        """Release all sinks; what is not settled is given up, and read again at the next start."""
        for outbox in self._outboxes:
            outbox.ask_to_close()
        until = time.monotonic() + CLOSE_SECONDS
        for outbox in self._outboxes:
            outbox.join(until - time.monotonic())

    def put(self, alerts: Sequence[Alert], letters: Sequence[DeadLetter]) -> None:
        """Hand over; never blocks, see `blocked`."""
        with self._changed:
            for outbox in self._outboxes:
                if alerts and outbox.takes_alerts:
                    outbox.put(alerts)
                if letters and outbox.takes_letters:
                    outbox.put(letters)

    def _put_letters(self, letters: Sequence[DeadLetter]) -> None:
        with self._changed:
            self._returned += letters
            for outbox in self._outboxes:
                if outbox.takes_letters:
                    outbox.put(letters)

    def returned(self) -> list[DeadLetter]:
        """Alerts that became dead letters since the last call."""
        with self._changed:
            taken, self._returned = self._returned, []
        return taken

    def tend(self) -> None:
        """Make dead letters of alerts that must hold nothing up any longer, while another sink has them:
        those that have waited beyond `hold_back_seconds` for a sink that is down, and those of an optional
        one whose queue is full. Raises what ended a sink's thread, a fault of ours."""
        for outbox in self._outboxes:
            if outbox.crashed is not None:
                raise outbox.crashed
        if any(outbox.failing_since is not None for outbox in self._outboxes if outbox.takes_letters):
            return
        takers = [outbox for outbox in self._outboxes if outbox.takes_alerts]
        up = [outbox for outbox in takers if outbox.failing_since is None]
        now = time.monotonic()
        for outbox in takers:
            why = self._why_not_wait(outbox, now)
            if why and any(other is not outbox for other in up):
                given = outbox.give_up()
                if given:
                    log.error(
                        "alerts that wait for a sink become dead letters",
                        sink=outbox.name,
                        alerts=len(given),
                        why=why,
                        problem=outbox.problem,
                    )
                    self._put_letters([_undelivered(alert, outbox.name, why) for alert in given])

    def _why_not_wait(self, outbox: Outbox, now: float) -> str:
        limit = self.sinks.hold_back_seconds
        if limit and outbox.failing_since is not None and now - outbox.failing_since > limit:
            return f"was down for more than {limit:g} s"
        return "had as many waiting as may" if outbox.optional and self._full(outbox) else ""

    def _full(self, outbox: Outbox) -> str:
        """What waits for a sink if that is as much as may; else empty."""
        if outbox.waiting >= self.sinks.queue_alerts:
            return f"{outbox.waiting} alerts and dead letters"
        if outbox.waiting_bytes >= MOST_WAITING_BYTES:
            return f"{outbox.waiting_bytes >> 20} MB"
        return ""

    def blocked(self) -> str:
        """Why nothing more should be read for now; empty when it may."""
        takers = [outbox for outbox in self._outboxes if outbox.takes_alerts]
        if takers and all(outbox.failing_since is not None for outbox in takers):
            return "no sink takes alerts"
        for outbox in self._outboxes:
            if full := self._full(outbox):
                return f"{full} wait for {outbox.name}"
        return ""

    def settled(self) -> bool:
        """True when every sink has stored all that came of records. Self-alerts hold nothing up."""
        return not any(outbox.unsettled for outbox in self._outboxes)

    def wait_settled(self, seconds: float) -> bool:
        """Wait until settled, or until only sinks that are down keep it from being so, or the time is up;
        whether it is settled."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    not any(
                        outbox.waiting and outbox.failing_since is None and outbox.crashed is None
                        for outbox in self._outboxes
                    )
                ),
                seconds,
            )
            return self.settled()

    def replace(self, sink: AlertSink) -> None:
        """Use `sink` in the place of the alert sink of its name; what waits goes to it."""
        for outbox in self._outboxes:
            if outbox.name == sink.name and outbox.takes_alerts:
                outbox.replace(sink)

    def states(self) -> tuple[SinkState, ...]:
        """Each sink as it is now."""
        now = time.monotonic()
        return tuple(
            SinkState(
                name=outbox.name,
                down_seconds=0.0 if outbox.failing_since is None else now - outbox.failing_since,
                waiting=outbox.waiting,
                oldest_seconds=outbox.oldest(now),
                problem=outbox.problem,
            )
            for outbox in self._outboxes
        )


def _undelivered(alert: Alert, sink: str, why: str) -> DeadLetter:
    return alert.dead_letter("sink_down", sink, f"{sink} {why} when alert {alert.id} was due")
