"""Records of several partitions in one order: by the broker's time, as far as partitions keep to it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any


class TimeOrder:
    """Takes records of kafka-python as they are fetched and gives them back merged by their timestamps.

    A partition's own order is always kept: a record that is older than the ones before it counts as being
    of their time. Ties go to the lower partition.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, deque[tuple[int, Any]]] = {}
        self._newest: dict[int, int] = {}
        self._heads: list[tuple[int, int]] = []  # time and partition of each first record

    def add(self, partition: int, records: Sequence[Any]) -> None:
        """Take records of one partition, in the order of their offsets."""
        waiting = self._waiting.setdefault(partition, deque())
        newest = self._newest.get(partition, -1)
        for record in records:
            newest = max(newest, record.timestamp)
            if not waiting:
                heapq.heappush(self._heads, (newest, partition))
            waiting.append((newest, record))
        self._newest[partition] = newest

    def held(self, partition: int) -> int:
        """How many records of a partition wait."""
        return len(self._waiting.get(partition, ()))

    def take(self, limit: int, needed: Collection[int]) -> list[Any]:
        """The next records, at most `limit`; none more once one of the partitions `needed` has no record.

        `needed` are those that may still hold older records than the ones that wait.
        """
        if any(not self.held(partition) for partition in needed):
            return []
        taken: list[Any] = []
        while self._heads and len(taken) < limit:
            _, partition = heapq.heappop(self._heads)
            waiting = self._waiting[partition]
            taken.append(waiting.popleft()[1])
            if waiting:
                heapq.heappush(self._heads, (waiting[0][0], partition))
            elif partition in needed:
                break
        return taken
