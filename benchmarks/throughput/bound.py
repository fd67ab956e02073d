"""A flood of sessions against the bound on memory: what the process takes, by lengths of inputs.

`python -m benchmarks.throughput.bound JSON` is a process of its own, so that its memory is its own;
`benchmarks.throughput` runs it.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from benchmarks.throughput.live import BATCH, Traffic, resident
from detector.collector import calm_collector
from detector.pipeline import Shard, warm_up
from detector.settings import Settings

EACH = 12
"""Queries of a session: some points are judged, and rings have grown."""
WAVE = BATCH // EACH
"""Sessions that are under way at a time."""
TURNOVER = 3
"""So many times as many sessions as are kept come, in waves."""
MOST = 2**31
"""Numbers of all queries together at most: a flood of long inputs is over sooner."""


def flood(numbers: int, memory: int, *, learn: bool) -> dict[str, float]:
    """Sessions of EACH queries until three times as many came as `memory` bytes hold, to a shard that learns
    or has no opinion.

    Returns what the shard's tables took at most, how much the process grew at most [bytes], sessions that
    came, and were kept at the end.
    """
    warm_up({})
    settings = Settings(memory=memory, learn=learn)
    traffic = Traffic(numbers)
    traffic.through(Shard(settings, {}), np.arange(BATCH))
    base = resident()
    shard = Shard(settings, {})
    held = grown = came = kept = gone = 0
    while gone <= (TURNOVER - 1) * kept and came * EACH * numbers <= MOST:
        traffic.through(shard, np.tile(np.arange(came, came + WAVE), EACH))
        came += WAVE
        (state,) = shard.models.values()
        held, grown = max(held, state.allocated), max(grown, resident() - base)
        kept, gone = len(state.sessions), state.sessions.evicted
    return {"held": float(held), "grown": float(grown), "came": float(came), "kept": float(kept)}


def main() -> None:
    """One flood, described by the JSON argument."""
    calm_collector()
    print(json.dumps(flood(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
