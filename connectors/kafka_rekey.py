"""A topic written anew with the client as the key, each record exactly once, also after a crash.

A batch of records and the offsets behind it are one Kafka transaction: either both are there or neither is.
The offsets are those of a consumer group that has no members.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from connectors.kafka_connection import REQUEST_SECONDS, KafkaSettings, connect, explain, missing_topic
from connectors.kafka_order import TimeOrder
from connectors.kafka_partitions import SURE_SECONDS
from connectors.kafka_start import start_time
from connectors.kafka_topic_id import TopicId
from connectors.kafka_transactions import TransactionalWriter
from detector.errors import SourceError

Keys = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""From the values of some records to their keys; None for what cannot be read."""

log = logging.getLogger(__name__)

_REQUEST_MS = int(REQUEST_SECONDS * 1000)
_FETCH_BYTES = 8 * 1024 * 1024
_AHEAD = 4
"""Batches of one partition that are held at most; beyond that it is not fetched until they are copied."""


def group_of(target: str) -> str:
    """The consumer group whose offsets say how much of a source is in the topic `target`."""
    return f"querywatch-rekey.{target}"


class TopicRekey:
    """Copies `source.topic` to `target.topic`, batch by batch, under the keys that `keys` makes.

    Order: that of each source partition, and between partitions that of the broker's timestamps. Not for
    use from several threads. After any exception: `close`, then `open` again or give up.
    """

    def __init__(
        self,
        source: KafkaSettings,
        target: KafkaSettings,
        keys: Keys,
        *,
        batch_records: int,
        metadata_seconds: float,
    ) -> None:
        self._source = source
        self._keys, self._batch_records = keys, batch_records
        self._metadata_seconds = metadata_seconds
        self._start_time = start_time(source.start)
        self._group = group_of(target.topic)
        self._writer = TransactionalWriter(target, source.topic, self._group)
        self._consumer: Any = None
        self._identity = TopicId(source)
        self._recreated = False  # the offsets that the group remembers are of the topic before
        self._partitions: set[int] = set()
        self._at: dict[int, int] = {}
        self._fetched: set[int] = set()
        self._order = TimeOrder()
        self._idle = False
        self.unkeyed = 0
        """Records copied so far that have no key, since no client could be read in them."""

    def open(self) -> None:
        """Connect, shut out the process before, and find where each partition goes on.

        Raises SourceError; SinkUnavailable, and SinkNotReady when a person must act.
        """
        self._order, self._idle = TimeOrder(), False
        self._partitions, self._at, self._fetched = set(), {}, set()
        # First the writer: only when the transaction before has ended are the offsets final.
        self._writer.open()
        self._consumer = connect(
            KafkaConsumer,
            self._source,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            metadata_max_age_ms=int(self._metadata_seconds * 1000),
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        if self._identity.is_another():
            self._identity.accept()
            self._recreated = True
        self.follow()
        self._recreated = False
        if not self._partitions:
            raise SourceError(missing_topic(self._source.topic, self._source))

    def follow(self) -> None:
        """Take up partitions that the source was given since. Raises as `turn` does."""
        try:
            found = set(self._consumer.partitions_for_topic(self._source.topic) or ())
            if new := sorted(found - self._partitions):
                self._begin(new)
        except KafkaError as error:
            raise self._problem(error) from error

    def _begin(self, new: list[int]) -> None:
        committed = {p: None if self._recreated else self._committed(p) for p in new}
        first, end = self._held(new)
        known = (
            self._recreated
            or bool(self._partitions)
            or any(offset is not None for offset in committed.values())
        )
        starts = {}
        for p, offset in committed.items():
            if offset is None:
                # A partition that was added later is read whole, whatever kafka.start says.
                starts[p] = first[p] if known else self._first_start(p, first[p], end[p])
            elif offset > end[p]:
                raise self._gone(p, offset)
            else:
                starts[p] = max(offset, first[p])
            log.info("%s partition %d: begins at offset %d", self._source.topic, p, starts[p])
            if offset is not None and offset < first[p]:
                log.error("%d records were deleted by retention before they were read", first[p] - offset)
        # Kept at once: a first start that is killed before its first record must not choose another start.
        self._writer.write([], [], starts)
        self._partitions |= set(new)
        self._at |= starts
        self._fetch_only(self._fetched | set(new))

    def _committed(self, partition: int) -> int | None:
        offset: int | None = self._consumer.committed(self._tp(partition), timeout_ms=_REQUEST_MS)
        return offset

    def _fetch_only(self, partitions: set[int]) -> None:
        """Fetch from these partitions and no other."""
        # Not by pausing: kafka-python 3.0.12 forgets records that it holds for a partition that is resumed
        # while it is done with another's, and then never fetches that partition again.
        self._at |= self._positions(self._fetched)
        self._fetched = partitions
        self._consumer.assign([self._tp(p) for p in sorted(partitions)])
        for p in partitions:
            self._consumer.seek(self._tp(p), self._at[p])

    def _first_start(self, partition: int, first: int, end: int) -> int:
        if self._start_time is None:
            return first if self._source.start == "earliest" else end
        tp, moment = self._tp(partition), max(0, int(self._start_time * 1000))
        found = self._consumer.offsets_for_times({tp: moment}, timeout_ms=_REQUEST_MS)[tp]
        return end if found is None else int(found.offset)

    def turn(self, seconds: float) -> int:
        """Copy one batch, waiting up to `seconds` for records; how many were copied.

        Raises SourceError and SinkUnavailable (open again), SinkNotReady, Fenced when another process has
        taken over, and SourceError with an offset when the source no longer holds what is next.
        """
        try:
            self._fetch(seconds if self._idle else 0.0)
            if not self._identity.asked_within(SURE_SECONDS) and self._identity.is_another():
                raise self._made_anew()
            taken = self._order.take(self._batch_records, self._behind(self.ends()))
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            if self._identity.is_another():
                raise self._made_anew() from error
            if isinstance(error, LogTruncationError):
                raise self._problem(error) from error
            tp, offset = next(iter(error.args[0].items()))
            raise self._gone(tp.partition, offset) from error
        except KafkaError as error:
            raise self._problem(error) from error
        if taken:
            keys = self._keys([record.value or b"" for record in taken])
            self._writer.write(taken, keys, {record.partition: record.offset + 1 for record in taken})
            self.unkeyed += sum(key is None for key in keys)
        self._idle = not taken
        return len(taken)

    def _fetch(self, seconds: float) -> None:
        # A partition that is far ahead in time must not fill the memory while another catches up.
        most = {p: self._batch_records * (_AHEAD if p in self._fetched else 1) for p in self._partitions}
        wanted = {p for p in self._partitions if self._order.held(p) < most[p]}
        if not wanted:
            return
        if wanted != self._fetched:
            self._fetch_only(wanted)
        polled = self._consumer.poll(timeout_ms=int(seconds * 1000), max_records=self._batch_records)
        for tp, records in polled.items():
            self._order.add(tp.partition, records)

    def ends(self) -> dict[int, int]:
        """The offset behind the last record of each partition, as of now. Raises SourceError."""
        try:
            return self._held(self._partitions)[1]
        except KafkaError as error:
            raise self._problem(error) from error

    def is_past(self, ends: Mapping[int, int]) -> bool:
        """Whether everything before these offsets is copied."""
        return not any(self._order.held(p) for p in ends) and not self._behind(ends)

    def _behind(self, ends: Mapping[int, int]) -> set[int]:
        """Partitions of which not everything before these offsets is fetched."""
        positions = self._at | self._positions(self._fetched)
        return {p for p, end in ends.items() if positions[p] < end}

    def _positions(self, partitions: set[int]) -> dict[int, int]:
        """The next offset to be fetched, of partitions that are being fetched."""
        return {p: self._consumer.position(self._tp(p), timeout_ms=_REQUEST_MS) for p in partitions}

    def close(self) -> None:
        """Release both connections."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=1000)
            self._consumer = None
        self._writer.close()
        self._identity.close()

    def _tp(self, partition: int) -> Any:
        return TopicPartition(self._source.topic, partition)

    def _held(self, partitions: Collection[int]) -> tuple[dict[int, int], dict[int, int]]:
        """First offset of each partition, and the one behind its last record."""
        tps = [self._tp(p) for p in partitions]
        first = self._consumer.beginning_offsets(tps, timeout_ms=_REQUEST_MS)
        end = self._consumer.end_offsets(tps, timeout_ms=_REQUEST_MS)
        return {tp.partition: first[tp] for tp in tps}, {tp.partition: end[tp] for tp in tps}

    def _gone(self, partition: int, offset: int) -> SourceError:
        first, end = self._held([partition])
        what = (
            "records were deleted by retention before they were copied; start again to go on behind them"
            if offset < first[partition]
            else f"the topic was recreated or lost records; delete the offsets of group {self._group!r} to "
            f"copy it from its first record"
        )
        return SourceError(
            f"the next record is not in the topic, which holds {first[partition]} to {end[partition]} "
            f"(exclusive): {what}",
            topic=self._source.topic,
            partition=partition,
            offset=offset,
        )

    def _made_anew(self) -> SourceError:
        what = "the topic was recreated, the new one is copied from its first record"
        return SourceError(what, topic=self._source.topic)

    def _problem(self, error: KafkaError) -> SourceError:
        return SourceError(explain(error, self._source), topic=self._source.topic)
