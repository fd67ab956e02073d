"""The rule that a SIEM comes with: too many calls of one client in an hour."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.peers.base import Stream
from benchmarks.traces.recording import BoolArray

CALLS, HOUR = 500, 3600.0


class RateRule:
    """An alarm at a client's 500th call within an hour, and at every one after it that is one too."""

    name = "500 calls an hour"

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """Looks at nothing but times."""
        alarm = np.zeros(len(trace), dtype=np.bool_)
        for mine in trace.by_client():
            times = trace.times[mine]
            calls = np.arange(1, len(mine) + 1) - np.searchsorted(times, times - HOUR, side="right")
            alarm[mine] = calls >= CALLS
        return alarm
