"""The records of a soak: benign sessions with an inversion among every few thousand, by time."""

from __future__ import annotations

from typing import Any

from tests import traffic

ATTACK_EVERY = 2000
"""Records to one attack of 200 queries."""


def make_queries(count: int, seed: int, *, per_session: int = 16) -> list[dict[str, Any]]:
    """`count` queries as a gateway would log them, by time; the same arguments give the same queries.

    `per_session` is how many a benign session has on average, at least 2.
    """
    attacks = max(2, count // ATTACK_EVERY)
    sessions = count // (per_session - 1)  # the rest is cut off
    span = 5.0 * sessions
    parts = [traffic.benign(sessions, seed=seed, queries=per_session)]
    for n in range(attacks):
        at = traffic.START + span * (n + 0.5) / attacks
        parts.append(traffic.inversion(seed=1000 * seed + n, at=at))
    return traffic.mixed(*parts)[:count]
