"""What the service asks of a topic's client; `connectors.kafka_partitions.TopicSource` answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from connectors.kafka_start import Start
from detector.query import RawBatch


class PartitionSource(Protocol):
    """A topic as a member of a group reads it, such as `connectors.kafka.KafkaSource`."""

    @property
    def topic_id(self) -> str:
        """The broker's id of the topic; known when partitions are assigned, empty where it has none."""

    @property
    def starts(self) -> Mapping[int, Start]:
        """Where each partition began."""

    def poll(self, timeout_seconds: float, max_records: int) -> list[RawBatch]:
        """Records that came in time; also keeps the membership alive."""

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        """The group's next offset of each partition."""

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit next offsets; False when that has to wait."""

    def offset_at(self, partition: int, seconds: float) -> int:
        """The first offset at or after a time, or the end."""

    def held(self, partition: int) -> tuple[int, int]:
        """First offset that the partition holds, and the next to be written."""

    def lag(self) -> dict[int, int]:
        """Records yet to be read of each partition."""

    def pause(self) -> None:
        """Fetch nothing more until `resume`."""

    def resume(self) -> None:
        """Fetch again."""
