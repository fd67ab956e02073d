"""The tails of the maxima that benign entities of each kind reach, from the scores of a history."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.evidence import (
    LIVES,
    LONG_LIVES,
    USUAL_SCORE,
    SessionTail,
    maxima_by_age,
    session_maxima,
    tails_by_age,
)
from detector.query import FloatArray, IntArray

MINIMUM_OTHERS = 100
"""Judged benign clients, or campaigns, below which their maxima and those of the sessions make one tail."""
MINIMUM_ODD = 8
"""Benign sessions with enough odd queries to judge below which their level is not known, and their maxima
and those of all queries make one tail."""

_ODD = (LIVES, LONG_LIVES)


class Scored(NamedTuple):
    """Scores [n] of evaluation points in time order, serials [n] of their entities, and the how many-th of
    its entity each is [n], from 1."""

    scores: FloatArray
    entities: IntArray
    points: IntArray


def tails_of(
    sessions: Scored, others: tuple[Scored, ...], total: int, models: int = 1
) -> tuple[tuple[SessionTail, ...], tuple[SessionTail, ...], float]:
    """`tails`, `late` and `odd_level` of a profile, from the points of sessions, and of the kinds `OTHERS`.
    `total` counts all sessions, also those that were too short to be evaluated, of so many `models`."""
    by_age = maxima_by_age(*sessions)
    total = max(total, len(by_age))
    clients, campaigns, odd = others
    early, late = tails_by_age(by_age, total, models=models)
    of_clients = maxima_by_age(*clients)
    if len(of_clients) < MINIMUM_OTHERS:
        of_clients = np.concatenate([of_clients, by_age])
    client, client_late = tails_by_age(of_clients, total, models=models)
    of_campaigns = session_maxima(campaigns.scores, campaigns.entities)
    if len(of_campaigns) < MINIMUM_OTHERS:
        of_campaigns = np.concatenate([of_campaigns, np.fmax(*by_age.T)])
    campaign = SessionTail.fit(of_campaigns, total, models=models)
    (odd_early, odd_late), level = _odd_tails(odd, by_age, total, models)
    return (early, client, campaign, odd_early), (late, client_late, odd_late), level


def _odd_tails(
    odd: Scored, of_sessions: FloatArray, total: int, models: int
) -> tuple[tuple[SessionTail, SessionTail], float]:
    """The tails of sessions' odd queries, and by how much these score higher than all queries usually do.

    What is chosen for being odd surprises more, honest or not. Half of the sessions are to score at most 1
    on average, as whole sessions do, or the evidence of each of them would grow until it saturates.
    """
    _, which = np.unique(odd.entities, return_inverse=True)
    count = np.bincount(which)
    if len(count) < MINIMUM_ODD:
        maxima = np.concatenate([maxima_by_age(*odd), of_sessions])
        return tails_by_age(maxima, total, _ODD, models), 0.0
    level = max(0.0, float(np.median(np.bincount(which, odd.scores) / count)) - USUAL_SCORE)
    maxima = maxima_by_age(odd.scores - level, odd.entities, odd.points)
    return tails_by_age(maxima, total, _ODD, models), level
