"""Is the service ready: what it needs, which of it is missing, and what to do. From a snapshot only."""

from __future__ import annotations

from typing import NamedTuple

from detector.watchdog import Snapshot


class Need(NamedTuple):
    """One thing that a ready service has; `said` is how it stands, or what to do."""

    name: str
    ok: bool
    said: str


def needs(seen: Snapshot | None) -> list[Need]:
    """All that a ready service has; None: it has not turned yet."""
    if seen is None:
        return [Need("started", False, "still starting: opening sinks and joining the group")]
    found = [
        Need(
            "partitions",
            bool(seen.partitions),
            f"{len(seen.partitions)} assigned, their state is loaded"
            if seen.partitions
            else "none assigned; the group is rebalancing, or has more members than the topic has partitions",
        ),
        Need(
            "state",
            seen.unsaved_seconds == 0.0,
            "can be saved" if seen.unsaved_seconds == 0.0 else seen.unsaved_problem,
        ),
    ]
    for sink in seen.sinks:
        up = sink.down_seconds == 0.0
        said = f"{sink.waiting} waiting" if up else f"down for {sink.down_seconds:.0f} s: {sink.problem}"
        found.append(Need(f"sink {sink.name}", up, said))
    return found
