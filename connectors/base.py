"""The contract of the outside world: where alerts and dead letters go.

Sinks raise `SinkUnavailable` (the caller tries the same write again) or
`SinkNotReady` (a person must act). Neither ever drops anything silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from detector.alert import Alert
from detector.query import DeadLetter

MOST_AT_ONCE = 1000
"""Alerts and dead letters that one write should hold, for a sink with no bound of its own."""


class Delivery(msgspec.Struct, frozen=True):
    """What became of one write: alerts stored now, stored before, and refused for their content."""

    created: int
    duplicates: int
    rejected: tuple[DeadLetter, ...] = ()


class AlertSink(Protocol):
    """A place for alerts. Writing the same alert twice stores it once.

    most_at_once: alerts that one write should hold, so that what became of them is known soon.
    """

    name: str
    most_at_once: int

    def open(self) -> None:
        """Make ready: create tables, install templates. Raises SinkNotReady or SinkUnavailable."""

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        """Store all of them durably before returning."""

    def close(self) -> None:
        """Release the connection or file."""


class DeadLetterSink(Protocol):
    """A place for records that cannot be used, each kept whole with reason and position."""

    name: str

    def open(self) -> None:
        """Make ready. Raises SinkNotReady or SinkUnavailable."""

    def write_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Store all of them durably before returning."""

    def close(self) -> None:
        """Release the connection or file."""
