"""Where reading of a partition begins, and what it means when there is nothing to read there."""

from __future__ import annotations

from datetime import datetime

import msgspec

from detector.errors import ConfigError, SourceError


class Start(msgspec.Struct, frozen=True):
    """Where reading of a partition began, and why: `saved state`, `partition added`, or `kafka.start`."""

    offset: int
    chosen_by: str


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


def out_of_range(topic: str, partition: int, offset: int, held: tuple[int, int]) -> SourceError:
    """The next offset is before the first that the partition holds, or behind the next to be written."""
    first, end = held
    if offset < first:
        what = (
            f"records {offset} to {first - 1} were deleted by retention before they were read. "
            f"Start again to go on behind them"
        )
    else:
        what = (
            "the topic ends before that offset: it was recreated or lost records. Delete the saved state "
            "of this partition and the group's offsets to begin anew"
        )
    return SourceError(
        f"offset {offset} is not in the topic, which holds {first} to {end} (exclusive): {what}",
        topic=topic,
        partition=partition,
        offset=offset,
    )


def truncated(topic: str, partition: int, offset: int) -> SourceError:
    """The topic ends before what was read of it."""
    return SourceError(
        "the topic lost records that were read already (unclean leader election); delete the saved "
        "state of this partition to begin at kafka.start",
        topic=topic,
        partition=partition,
        offset=offset,
    )
