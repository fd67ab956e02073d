"""What a consumer group does to a member that uses kafka-python."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from connectors.kafka_partitions import Events


class Rebalances:
    """Notes what the group does to this member; runs on the client's network thread, so it only notes.

    A new partition is held back (paused) until the caller has said where it begins: otherwise the client
    would begin by itself at the group's committed offset.
    """

    def __init__(self, events: Events, *, cooperative: bool) -> None:
        self._events = events
        self._cooperative = cooperative
        self._sticky = CooperativeStickyAssignor()
        self._consumer: Any = None
        self._held: set[int] = set()

    @property
    def assignors(self) -> list[Any]:
        """For the consumer that this will listen to."""
        return [self._sticky] if self._cooperative else [RangePartitionAssignor, RoundRobinPartitionAssignor]

    def listen(self, consumer: Any, topic: str) -> None:
        """Have the consumer join the group."""
        self._consumer = consumer
        _tell_every_loss(consumer._coordinator)
        consumer.subscribe([topic], listener=self)

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        # Eagerly this is said before every rebalance, of partitions that mostly come back; the assignment
        # tells what is gone.
        if self._cooperative:
            self._drop("revoked", revoked)

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        # kafka-python 3.0.12 would tell the group that it owns them still.
        self._sticky.member_assignment = None
        self._drop("lost", lost)

    def _drop(self, kind: str, partitions: Collection[Any]) -> None:
        gone = {tp.partition for tp in partitions}
        self._held -= gone
        self._events.put((kind, gone))

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        # Cooperatively these are only the new ones.
        given = {tp.partition for tp in assigned}
        for tp in assigned:
            if tp.partition not in self._held:
                self._consumer.seek(tp, 0)
                self._consumer.pause(tp)
        self._held = self._held | given if self._cooperative else given
        self._events.put(("assigned", set(self._held)))


ConsumerRebalanceListener.register(Rebalances)


def _tell_every_loss(coordinator: Any) -> None:
    """kafka-python 3.0.12 tells nobody of a lost membership that it learns of in the middle of a rejoin, and
    goes on with what others may have by now."""
    reset = coordinator.reset_generation

    def reset_and_begin_anew(*arguments: Any, **options: Any) -> None:
        reset(*arguments, **options)
        coordinator.rejoining = False

    coordinator.reset_generation = reset_and_begin_anew


class _Attempt:
    """An attempt to join the group that counts as under way until its outcome is taken up."""

    is_done = False

    def __init__(self, task: Any) -> None:
        self.add_callback, self.add_errback = task.add_callback, task.add_errback


def keep_attempt(coordinator: Any) -> None:
    """Have the next poll take up an attempt to join that the one before was too short for.

    kafka-python 3.0.12 throws it away when it ended between two polls, and the whole group rebalances again.
    """
    attempt = coordinator._join_task
    if attempt is not None and not isinstance(attempt, _Attempt):
        coordinator._join_task = _Attempt(attempt)
