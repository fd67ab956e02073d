"""How long to wait before what failed is tried again."""

from __future__ import annotations

import random

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before the first repeat, and at most before a later one."""


def backoff(attempt: int) -> float:
    """Seconds to wait before repeat number `attempt` (from 1): doubling, spread at random over half of it."""
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt - 1, 10)) * random.uniform(0.5, 1.0))  # noqa: S311
