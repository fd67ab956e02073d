"""When queries are sent: paces that honest clients and attackers share, and hours of the day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.query import FloatArray

DAY = 86_400.0
LONGEST_PAUSE = 1_200.0
"""Seconds. Shorter than the 30 minutes after which a session counts as over."""


@dataclass(frozen=True)
class Pace:
    """Seconds between requests: median and log sigma; `bulk` sends the rows of one call in one request."""

    median: float
    sigma: float
    bulk: bool = False
    pauses: float = 0.0


PACES: dict[str, Pace] = {
    "person": Pace(6.0, 0.9, pauses=0.04),
    "app": Pace(0.8, 0.8, pauses=0.02),
    "job": Pace(0.03, 0.6),
    "bulk": Pace(1.5, 0.8, bulk=True, pauses=0.02),
    "clock": Pace(10.0, 0.02),
}
ATTACK_PACES = ("person", "app", "app", "job", "bulk")


@dataclass(frozen=True)
class Period:
    """Sessions begin within `days` days from `first_day` (epoch seconds)."""

    first_day: float
    days: float


def arrivals(rng: np.random.Generator, pace: Pace, calls: list[int]) -> FloatArray:
    """Send times [sum(calls)] in seconds from the session's start, not decreasing.

    `calls` are the rows of each call of the client's program, in order; unless the pace is bulk, rows
    are sent one by one.
    """
    n = sum(calls)
    median = pace.median * np.exp(0.5 * rng.normal())
    gaps = median * np.exp(pace.sigma * rng.normal(size=n))
    resting = rng.random(n) < pace.pauses
    gaps = np.where(resting, gaps + 120.0 * np.exp(rng.normal(size=n)), gaps)
    if pace.bulk:
        inside = np.ones(n, dtype=bool)
        inside[np.cumsum([0, *calls[:-1]])] = False
        gaps = np.where(inside, rng.uniform(0.0005, 0.003), gaps)
    gaps[0] = 0.0
    return np.asarray(np.cumsum(np.minimum(gaps, LONGEST_PAUSE)))


def bulk_calls(rng: np.random.Generator, n: int) -> list[int]:
    """Rows of each request of an honest client that sends in bulk: pages of one size, the last shorter."""
    page = int(rng.choice([5, 10, 20, 50, 100]))
    return [min(page, n - first) for first in range(0, n, page)]


def start_time(rng: np.random.Generator, period: Period, machine: bool) -> float:
    """When a session begins: machines at any time, people mostly by day (two tries at daylight)."""
    start = period.first_day + rng.random() * period.days * DAY
    for _ in range(2):
        hour = (start % DAY) / 3600.0
        if machine or 7.0 <= hour <= 20.0:
            break
        start = period.first_day + rng.random() * period.days * DAY
    return float(start)
