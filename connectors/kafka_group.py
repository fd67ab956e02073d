"""What a consumer group does to a member that uses kafka-python."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka.consumer.subscription_state import ConsumerRebalanceListener

from connectors.kafka_partitions import Events


class Rebalances:
    """Notes what the group does to this member; runs on the client's network thread, so it only notes.

    A new partition is held back (paused) until the caller has said where it begins: otherwise the client
    would begin by itself at the group's committed offset.
    """

    def __init__(self, consumer: Any, events: Events) -> None:
        self._consumer = consumer
        self._held: set[int] = set()
        self._events = events

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        # Said before every rebalance, of partitions that mostly come back; the assignment tells what is gone.
        pass

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._held.clear()
        self._events.put(("lost", {tp.partition for tp in lost}))

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        for tp in assigned:
            if tp.partition not in self._held:
                self._consumer.seek(tp, 0)
                self._consumer.pause(tp)
        self._held = {tp.partition for tp in assigned}
        self._events.put(("assigned", set(self._held)))


ConsumerRebalanceListener.register(Rebalances)
