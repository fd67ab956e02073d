"""Sinks in memory, for tests and for runs that keep nothing."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.base import MOST_AT_ONCE, Delivery
from detector.alert import Alert
from detector.query import DeadLetter


class MemoryAlertSink:
    """Keeps alerts by id, in the order of their first delivery."""

    name = "memory"
    most_at_once = MOST_AT_ONCE

    def __init__(self) -> None:
        self._alerts: dict[str, Alert] = {}

    @property
    def alerts(self) -> list[Alert]:
        """All alerts stored so far."""
        return list(self._alerts.values())

    def open(self) -> None:
        """Nothing to make ready."""

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        """Store the alerts that are new."""
        before = len(self._alerts)
        for alert in alerts:
            self._alerts.setdefault(alert.id, alert)
        created = len(self._alerts) - before
        return Delivery(created=created, duplicates=len(alerts) - created)

    def close(self) -> None:
        """Keep what is stored."""


class MemoryDeadLetterSink:
    """Keeps dead letters by source, partition, offset and reason, in the order of their first delivery."""

    name = "memory"

    def __init__(self) -> None:
        self._letters: dict[tuple[str, int, int, str], DeadLetter] = {}

    @property
    def letters(self) -> list[DeadLetter]:
        """All dead letters stored so far."""
        return list(self._letters.values())

    def open(self) -> None:
        """Nothing to make ready."""

    def write_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Store the letters that are new."""
        for letter in letters:
            key = (letter.source, letter.partition, letter.offset, letter.reason)
            self._letters.setdefault(key, letter)

    def close(self) -> None:
        """Keep what is stored."""
