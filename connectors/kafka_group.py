"""What a consumer group does to its member, and where a partition begins."""

from __future__ import annotations

import queue
from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from kafka.consumer.subscription_state import ConsumerRebalanceListener

from detector.errors import ConfigError


class Start(msgspec.Struct, frozen=True):
    """Where reading of a partition began, and why: `saved state`, `partition added`, or `kafka.start`."""

    offset: int
    chosen_by: str


class Rebalances:
    """Notes what the group does to this member; runs on the client's network thread, so it only notes.

    A new partition is held back (paused) until the caller has said where it begins: otherwise the client
    would begin by itself at the group's committed offset.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._held: set[int] = set()
        self.events: queue.SimpleQueue[tuple[str, set[int]]] = queue.SimpleQueue()

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        # Said before every rebalance, of partitions that mostly come back; the assignment tells what is gone.
        pass

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._held.clear()
        self.events.put(("lost", {tp.partition for tp in lost}))

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        for tp in assigned:
            if tp.partition not in self._held:
                self._consumer.seek(tp, 0)
                self._consumer.pause(tp)
        self._held = {tp.partition for tp in assigned}
        self.events.put(("assigned", set(self._held)))


ConsumerRebalanceListener.register(Rebalances)


def start_time(start: str) -> float | None:
    """`kafka.start` as epoch seconds, None for `earliest` and `latest`. Raises ConfigError."""
    if start in {"earliest", "latest"}:
        return None
    try:
        moment = datetime.fromisoformat(start)
    except ValueError as error:
        raise ConfigError("kafka.start", f"{start!r} is not earliest, latest or an RFC 3339 time") from error
    if moment.tzinfo is None:
        raise ConfigError("kafka.start", f"{start!r} has no zone; write for example {start}Z")
    return moment.timestamp()
