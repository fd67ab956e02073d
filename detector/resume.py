"""Where reading of a partition goes on, and with what: its saved state, or what the log still tells.

Without a usable file the sessions are rebuilt: reading begins a session gap before the last known position.
That is *degraded*: sessions that began earlier are cut, what was learned since the profile is lost. What lies
below the known position was delivered before (alerts go out before anything is saved or committed), so
nothing of it is told again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog

from detector.pipeline import Shard
from detector.state_header import UNKNOWN
from detector.state_store import Found

LATEST_SECONDS = 32_503_680_000.0
"""The year 3000: no record is that late."""

log = structlog.get_logger(__name__)


class Log(Protocol):
    """What is asked of a partition: part of `detector.partition_source.PartitionSource`."""

    def offset_at(self, partition: int, seconds: float) -> int:
        """The first offset with a broker timestamp at or after a time, or the end."""

    def held(self, partition: int) -> tuple[int, int]:
        """First offset that the partition holds, and the next to be written."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """How a partition goes on.

    `start` is None for a first start, which begins where `kafka.start` says. What lies below `told_below` was
    delivered before. `rebuilt` says why sessions are rebuilt, empty where they are not. `lost` counts records
    that were deleted before they were read.
    """

    start: int | None
    told_below: int = 0
    rebuilt: str = ""
    lost: int = 0


def resume(found: Found[Shard], committed: int | None, topic: Log, partition: int, gap: float) -> Resumption:
    """Decide from what was saved and what the group committed; `gap` is the session gap in seconds."""
    position = max(found.position, UNKNOWN if committed is None else committed)
    first, end = topic.held(partition)
    told_below = max(0, min(position, end))
    if found.state is not None:
        wanted, why = found.state.next_offset, ""
        # A state of the topic's own that lies beyond its end is for the source to refuse.
        start = max(wanted, first)
    elif found.recreated:
        # Its offsets say nothing about this topic, and every record in it is new.
        wanted, start, told_below, why = first, first, 0, "the topic was recreated"
    elif position != UNKNOWN:
        wanted = min(position, end)
        start = max(first, rewound(topic, partition, wanted, gap))
        why = "; ".join(found.problems) or "no saved state was found"
    elif found.problems:
        wanted, start, why = first, first, "; ".join(found.problems)
    else:
        return Resumption(None)
    return Resumption(start, told_below, why, max(0, first - wanted))


def rewound(topic: Log, partition: int, position: int, gap: float) -> int:
    """The offset `gap` seconds of broker time before the record that stands before `position`.

    The time of that record is found by halving: the latest whole second with an offset below `position`.
    """
    if topic.offset_at(partition, 0.0) >= position:
        return position
    low, high = 0.0, LATEST_SECONDS
    while high - low > 1.0:
        middle = (low + high) // 2
        if topic.offset_at(partition, middle) < position:
            low = middle
        else:
            high = middle
    return min(position, topic.offset_at(partition, low - gap))


def announce(partition: int, resumption: Resumption) -> None:
    """Say in the log what is out of the ordinary."""
    if resumption.lost:
        log.error(
            "records were deleted by retention before they were read; read faster, or keep them longer",
            partition=partition,
            records=resumption.lost,
            start=resumption.start,
        )
    if resumption.rebuilt:
        log.error(
            "degraded: sessions are rebuilt from the log; those that began earlier are cut",
            partition=partition,
            why=resumption.rebuilt,
            start=resumption.start,
            told_below=resumption.told_below,
        )
