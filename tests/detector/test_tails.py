"""Few clients and campaigns say little about a tail: until there are enough, sessions are asked too."""

from __future__ import annotations

import numpy as np
import pytest

from detector.evidence import DRIFT, maxima_by_age
from detector.tails import MINIMUM_ODD, MINIMUM_OTHERS, Scored, tails_of

SESSIONS = 2000


def entities(n: int, scale: float, seed: int) -> Scored:
    """n entities of one point each, whose maxima are exponential."""
    maxima = np.random.default_rng(seed).exponential(scale, n)
    return Scored(maxima + DRIFT, np.arange(n), np.ones(n, dtype=np.int64))


@pytest.mark.parametrize("few", [0, MINIMUM_ODD, 50, MINIMUM_OTHERS - 1])
def test_few_quiet_clients_and_campaigns_are_judged_with_the_sessions(few: int) -> None:
    wild, quiet, none = entities(SESSIONS, 10.0, 1), entities(few, 0.1, 2), entities(0, 1.0, 3)
    tails, _, _ = tails_of(wild, (quiet, quiet, none), SESSIONS)
    together = np.concatenate([maxima_by_age(*quiet)[:, 0], maxima_by_age(*wild)[:, 0]])
    for tail in tails[1:3]:
        assert tail.edge >= np.quantile(together, 0.9)


def test_enough_of_them_speak_for_themselves() -> None:
    wild, quiet, none = (
        entities(SESSIONS, 10.0, 1),
        entities(MINIMUM_OTHERS, 0.1, 2),
        entities(0, 1.0, 3),
    )
    tails, _, _ = tails_of(wild, (quiet, quiet, none), SESSIONS)
    assert tails[0].edge > 10.0
    assert all(tail.edge == 2.0 for tail in tails[1:3])
