"""What a consumer group does to a member that uses confluent-kafka, and how that is taken up.

The client begins a partition at the group's committed offset when it is assigned without a position. So
partitions are assigned to it only once the caller has said where each begins.

Whatever a callback raises is kept for `raise_kept`. The client throws away the messages that it fetched in
the call in which a callback raises; and an error of its own (a question to a client that is being closed)
would leave it as a bare KafkaError, which is no BaseException: not even `except BaseException` catches it
(confluent-kafka 2.16.1 with Python 3.11).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from confluent_kafka import Consumer, TopicPartition

from connectors.kafka_partitions import Events

_Callback = Callable[[Consumer, list[TopicPartition]], None]


class Group(ABC):
    """The callbacks of `Consumer.subscribe`, which run on the thread that polls, and what is fetched."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._member = self._to_begin = False
        self._failed: set[int] = set()
        self._kept: Exception | None = None

    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """These are this member's now."""
        self._keeping(self._assigned, consumer, partitions)

    def on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """These may go to others."""
        self._keeping(self._revoked, consumer, partitions)

    def on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The membership is lost, and these with it."""
        self._keeping(self._lost, consumer, partitions)

    def raise_kept(self) -> None:
        """Raise what a callback since the last call raised: KafkaException, or what the caller's raised."""
        kept, self._kept = self._kept, None
        if kept is not None:
            raise kept

    @abstractmethod
    def holds(self) -> bool:
        """Whether it has partitions of the group, fetched or not."""

    def _keeping(self, callback: _Callback, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            callback(consumer, partitions)
        except Exception as error:
            self._kept = self._kept or error

    @abstractmethod
    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """As `on_assign`."""

    @abstractmethod
    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """As `on_revoke`."""

    @abstractmethod
    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """As `on_lost`."""

    def failed(self, partition: int) -> None:
        """The client would stand still at a partition, or go on behind the failure: it is to begin again."""
        self._failed.add(partition)
        self._to_begin = True

    def fetch(self, consumer: Consumer, owned: list[TopicPartition], *, paused: bool) -> None:
        """Begin to fetch what is owned and not fetched yet, or failed, each from its offset."""
        if not (self._to_begin and self._member):
            return
        begun = self._begin(consumer, owned)
        if paused:
            consumer.pause(begun)
        self._failed.clear()
        self._to_begin = False

    @abstractmethod
    def _begin(self, consumer: Consumer, owned: list[TopicPartition]) -> list[TopicPartition]:
        """Which have been begun."""


class Eager(Group):
    """Every rebalance takes all partitions, and gives most of them back: the assignment tells what went."""

    def holds(self) -> bool:
        return self._member

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign([])
        self._member = self._to_begin = True
        self._events.put(("assigned", {tp.partition for tp in partitions}))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.unassign()
        self._member = False

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._revoked(consumer, partitions)
        self._events.put(("assigned", set()))

    def _begin(self, consumer: Consumer, owned: list[TopicPartition]) -> list[TopicPartition]:
        consumer.assign(owned)
        return owned


class Cooperative(Group):
    """A rebalance takes and gives only what moves.

    `let_go` has the caller save and commit what goes; only then the client gives it back to the group.
    """

    def __init__(self, events: Events, let_go: Callable[[], None]) -> None:
        super().__init__(events)
        self._let_go = let_go
        self._all: set[int] = set()

    def holds(self) -> bool:
        return bool(self._all)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([])
        self._member = self._to_begin = True
        self._all |= {tp.partition for tp in partitions}
        self._events.put(("assigned", set(self._all)))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._note("revoked", partitions)
            self._let_go()
        finally:
            self._take_back(consumer, partitions)

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._member = False
        self._note("lost", partitions)
        self._take_back(consumer, partitions)

    def _note(self, kind: str, partitions: list[TopicPartition]) -> None:
        gone = {tp.partition for tp in partitions}
        self._all -= gone
        self._events.put((kind, gone))

    def _take_back(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Not all are assigned to the client yet, and it refuses to take back what is not.
        gone = {tp.partition for tp in partitions}
        consumer.incremental_unassign([tp for tp in consumer.assignment() if tp.partition in gone])

    def _begin(self, consumer: Consumer, owned: list[TopicPartition]) -> list[TopicPartition]:
        fetched = {tp.partition for tp in consumer.assignment()}
        # Even an empty call would answer a revocation that is about to be told.
        if again := [tp for tp in owned if tp.partition in fetched & self._failed]:
            consumer.incremental_unassign(again)
        begun = [tp for tp in owned if tp.partition not in fetched - self._failed]
        consumer.incremental_assign(begun)
        return begun
