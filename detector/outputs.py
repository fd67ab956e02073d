"""Where alerts and dead letters go: several sinks written as one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from connectors.base import AlertSink, DeadLetterSink
from detector.alert import Alert
from detector.query import DeadLetter


class Outputs:
    """Every alert to each alert sink, every dead letter to each dead-letter sink.

    A sink may serve as both. Alerts that a sink refuses for their content become dead letters. `optional`
    names alert sinks whose full queue must not hold up the others.
    Use as a context manager: entering opens all sinks, leaving closes them.
    """

    def __init__(
        self,
        alerts: Sequence[AlertSink],
        dead_letters: Sequence[DeadLetterSink],
        optional: Collection[str] = (),
    ) -> None:
        self.alerts = alerts
        self.optional = optional
        self.dead_letters = dead_letters
        self.created = 0
        self.duplicates = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            distinct: dict[int, AlertSink | DeadLetterSink] = {id(sink): sink for sink in self.alerts}
            distinct |= {id(sink): sink for sink in self.dead_letters}
            for sink in distinct.values():
                sink.open()
                stack.callback(sink.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def write(self, alerts: Sequence[Alert], letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Store all of them durably; returns the alerts that a sink refused, as the dead letters they became.

        Raises SinkUnavailable or SinkNotReady; writing the same again is then safe.
        """
        refused: list[DeadLetter] = []
        if alerts:
            for position, sink in enumerate(self.alerts):
                delivery = sink.write(alerts)
                refused.extend(delivery.rejected)
                if position == 0:
                    self.created += delivery.created
                    self.duplicates += delivery.duplicates
        everything = [*letters, *refused]
        if everything:
            for letter_sink in self.dead_letters:
                letter_sink.write_dead_letters(everything)
        return refused

    def names(self) -> str:
        """The alert sinks, for a person."""
        return ", ".join(sink.name for sink in self.alerts)

    def dead_letter_names(self) -> str:
        """The dead-letter sinks, for a person."""
        return ", ".join(sink.name for sink in self.dead_letters)
