"""Policy: evidence against threshold, and what becomes of it: one alert an episode, then revisions.

An episode begins when a session's evidence reaches the threshold and ends when the evidence has fallen
below half of it. Within an episode a revision follows when the severity rises or the session has grown
fourfold since the last message, at most MOST_REVISIONS times.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.evidence import accumulate
from detector.features.layout import EVERY, FIRST_EVALUATION, RECENT
from detector.query import FloatArray, IntArray
from models.compiled import jit

SERIES = 64
"""Points of confidence and distance that an alert shows."""
MOST_REVISIONS = 8
HIGH, CRITICAL = 1.5, 2.5
"""Evidence over threshold from which an alert is high and critical; below, it is medium."""

NOTHING, RAISE, REVISE = 0, 1, 2


class Episodes(NamedTuple):
    """Policy state of `capacity` sessions; `judge` changes it in place.

    evidence [capacity]
    counts [capacity, 4] int64: episodes so far, open (0 or 1), revision, level of the last message
    told [capacity] queries when the last message went out; began [capacity] time the episode began
    series [capacity, SERIES, 2] float32 recent (confidence, distance); points [capacity] written so far
    """

    evidence: FloatArray
    counts: IntArray
    told: FloatArray
    began: FloatArray
    series: npt.NDArray[np.float32]
    points: IntArray


EPISODES, OPEN, REVISION, LEVEL = range(4)


def allocate(capacity: int) -> Episodes:
    """State in which nothing ever happened."""
    return Episodes(
        evidence=np.zeros(capacity),
        counts=np.zeros((capacity, 4), dtype=np.int64),
        told=np.zeros(capacity),
        began=np.zeros(capacity),
        series=np.full((capacity, SERIES, 2), np.nan, dtype=np.float32),
        points=np.zeros(capacity, dtype=np.int64),
    )


def grow(episodes: Episodes, capacity: int) -> Episodes:
    """The same state with room for `capacity` sessions."""
    wider = allocate(capacity)
    old = len(episodes.evidence)
    for name in Episodes._fields:
        getattr(wider, name)[:old] = getattr(episodes, name)
    return wider


def bytes_per_session() -> int:
    """Bytes of one session's policy state."""
    return 8 * (1 + 4 + 1 + 1 + 1) + 4 * 2 * SERIES


@jit
def level(ratio: float) -> int:
    """0 medium, 1 high, 2 critical."""
    if ratio >= CRITICAL:
        return 2
    return 1 if ratio >= HIGH else 0


@jit
def _open_session(episodes: Any, s: int) -> None:
    episodes.evidence[s] = 0.0
    episodes.counts[s, :] = 0
    episodes.told[s] = 0.0
    episodes.points[s] = 0


@jit
def _keep_series(episodes: Any, s: int, recent: Any, count: int) -> None:
    for r in range(RECENT - count, RECENT):
        episodes.series[s, episodes.points[s] % SERIES, 0] = recent[r, 0]
        episodes.series[s, episodes.points[s] % SERIES, 1] = recent[r, 1]
        episodes.points[s] += 1


@jit
def judge(
    episodes: Any, threshold: float, slots: Any, times: Any, meta: Any, scores: Any, series: Any, start: int
) -> Any:
    """Judge evaluation points from `start` on until one calls for a message.

    slots [m] the sessions, times [m] of the queries, meta [m, 4] (distinct
    inputs, session start, serial, queries),
    scores [m] (NaN: no opinion), series [m, RECENT, 2] recent (confidence, distance) pairs. An infinite
    threshold raises nothing. Returns (point, NOTHING | RAISE | REVISE); the point after the last with
    NOTHING at the end.
    """
    for m in range(start, slots.shape[0]):
        s = slots[m]
        queries = meta[m, 3]
        first = meta[m, 0] == FIRST_EVALUATION
        if first:
            _open_session(episodes, s)
        _keep_series(episodes, s, series[m], FIRST_EVALUATION if first else EVERY)
        episodes.evidence[s] = accumulate(episodes.evidence[s], scores[m])
        evidence = episodes.evidence[s]
        counts = episodes.counts[s]
        if counts[OPEN] == 0:
            if evidence >= threshold:
                counts[EPISODES] += 1
                counts[OPEN] = 1
                counts[REVISION] = 0
                counts[LEVEL] = level(evidence / threshold)
                episodes.told[s] = queries
                episodes.began[s] = times[m]
                return m, RAISE
            continue
        if evidence < 0.5 * threshold:
            counts[OPEN] = 0
            continue
        now = level(evidence / threshold)
        grown = queries >= 4 * episodes.told[s] and evidence >= threshold
        if (now > counts[LEVEL] or grown) and counts[REVISION] < MOST_REVISIONS:
            counts[REVISION] += 1
            counts[LEVEL] = max(now, counts[LEVEL])
            episodes.told[s] = queries
            return m, REVISE
    return slots.shape[0], NOTHING


def recent_series(episodes: Episodes, s: int) -> tuple[list[float | None], list[float | None]]:
    """(confidence, distance) of the session's last queries, oldest first, at most SERIES; None: unknown."""
    written = int(episodes.points[s])
    order = [k % SERIES for k in range(max(0, written - SERIES), written)]

    def column(c: int) -> list[float | None]:
        values = episodes.series[s, order, c].astype(np.float64)
        return [None if np.isnan(v) else round(float(v), 5) for v in values]

    return column(0), column(1)
