"""The records of a soak: benign sessions with an inversion among every few thousand, by time."""

from __future__ import annotations

from typing import Any

from tests import traffic

ATTACK_EVERY = 2000
"""Records to one attack of 200 queries."""


def make_queries(count: int, seed: int) -> list[dict[str, Any]]:
    """`count` queries as a gateway would log them, by time; the same arguments give the same queries."""
    attacks = max(2, count // ATTACK_EVERY)
    sessions = count // 15  # of 16 queries on average; the rest is cut off
    span = 5.0 * sessions
    parts = [traffic.benign(sessions, seed=seed)]
    for n in range(attacks):
        at = traffic.START + span * (n + 0.5) / attacks
        parts.append(traffic.inversion(seed=1000 * seed + n, at=at))
    return traffic.mixed(*parts)[:count]
