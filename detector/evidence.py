"""Evidence: what a session's scores add up to, and the threshold that a false-alert budget buys.

At each evaluation point with score e (mean surprise, about 1 on benign traffic) the evidence moves to
max(0, LEAK * evidence + e - DRIFT): a CUSUM (Page 1954) that forgets, so that a benign session which is
merely unusual levels off, however long it lasts, instead of growing without bound.

The false-alert budget is a chance per session, so the threshold is a quantile of the *session maximum* of
the evidence among benign sessions. The longer a session, the more chances it has, and the rare very long
ones would spend nearly the whole budget. So the budget is split: one part for the first LATE evaluation
points of a session, one for all that come later, each with a tail and a threshold of its own. Beyond what
they reached it is extrapolated with an exponential tail (generalised Pareto with shape 0) above the 90th
percentile, or above all but the MOST_EXCESSES largest: farther out the tail is flatter, and a large history
shows it. The scale is its upper 97% limit given the excesses seen here and the prior that comes with
querywatch, which counts as so many more of them with such a mean (their sum is Gamma distributed): a small
history buys a higher threshold, and a few wild sessions among few do not put it out of reach. What a small
history holds is also less than all that honest clients do: a kind of session that is rarer than one in n is
likely not among n sessions, and to models that never saw it, it is odd. So the scale grows with UNSEEN / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from detector.query import FloatArray, IntArray
from models.compiled import jit

LEAK = 0.99
DRIFT = 2.5
USUAL_SCORE = 1.0
"""Mean score of benign traffic."""
TAIL_FROM = 0.90
SURE = 0.97
"""How sure it is that the tail's scale is no larger than what is taken for it."""
MOST_EXCESSES = 50
"""Excesses that a tail is fitted to at most, of each model."""


class Usual(NamedTuple):
    """What tails look like in other deployments: their scale, and how many excesses that is worth: many
    where they are much alike."""

    excesses: int
    scale: float


FIRST_POINTS = Usual(40, 5.0)
"""Of sessions and clients in their first evaluation points, where deployments differ little. It is more than
they show: what looks like an attack is left out of a history, honest or not, and a tail seems short without
it."""
LATER_POINTS = Usual(40, 6.0)
"""Of sessions and clients from then on. They differ more, but a history holds few, and a handful of
explainers or unseen attackers among them must not put the threshold out of reach."""
LIVES = Usual(10, 6.0)
"""Of odd queries in their first evaluation points, and of campaigns."""
LONG_LIVES = Usual(40, 13.0)
"""Of odd queries from then on: they reach farther than sessions do."""
UNSEEN = 100
"""Sessions by which the kinds that a history lacks widen its tails: with so many the scale is double."""
PRIOR_EDGE = 2.0
"""Smallest evidence at which the tail may begin."""
LATE = 24
"""Evaluation points after which a session is long: some 100 queries. Benign sessions seldom are."""
LATE_SHARE = 0.3
"""Part of the sessions' budget that long ones may spend from then on."""


@jit
def _step(sum_so_far: float, score: float, leak: float, drift: float) -> float:
    if np.isnan(score):
        return sum_so_far
    return max(0.0, leak * sum_so_far + score - drift)


@jit
def accumulate(evidence: float, score: float) -> float:
    """Evidence after one more score; NaN (no opinion) leaves it as it is."""
    return _step(evidence, score, LEAK, DRIFT)


@jit
def _maxima(scores: Any, serials: Any, ages: Any, count: int, leak: float, drift: float) -> Any:
    now = np.zeros(count)
    most = np.full((count, 2), np.nan)
    for i in range(scores.shape[0]):
        s, age = serials[i], ages[i]
        now[s] = _step(now[s], scores[i], leak, drift)
        most[s, age] = now[s] if np.isnan(most[s, age]) else max(most[s, age], now[s])
    return most


def maxima_by_age(scores: FloatArray, sessions: IntArray, points: IntArray) -> FloatArray:
    """Largest evidence of each session [k, 2], one row a distinct session: in its first LATE evaluation
    points, and later (NaN: it has none such). scores [n] and sessions [n] in time order; points [n]: the how
    many-th of its session each is, from 1."""
    return _most(scores, sessions, (points > LATE).astype(np.int64), LEAK, DRIFT)


def session_maxima(scores: FloatArray, sessions: IntArray) -> FloatArray:
    """Largest evidence that each session ever had [k]; as in `maxima_by_age`."""
    return np.asarray(maxima_by_age(scores, sessions, np.ones_like(sessions))[:, 0], dtype=np.float64)


def greatest_sums(scores: FloatArray, sessions: IntArray, leak: float) -> FloatArray:
    """Greatest forgetting sum of each session's scores [k], at least 0, by ascending serial: before each
    score the sum so far is multiplied by `leak`. Scores and sessions [n] in time order."""
    return _most(scores, sessions, np.zeros(len(scores), dtype=np.int64), leak, 0.0)[:, 0]


def _most(scores: FloatArray, sessions: IntArray, ages: IntArray, leak: float, drift: float) -> FloatArray:
    _, dense = np.unique(sessions, return_inverse=True)
    count = int(dense.max()) + 1 if len(dense) else 0
    return np.asarray(_maxima(scores, dense.astype(np.int64), ages, count, leak, drift), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class SessionTail:
    """The tail of benign session maxima: P(maximum > x) = share * exp(-(x - edge) / scale) for x > edge.

    `sessions` is how many benign sessions it rests on.
    """

    edge: float
    scale: float
    share: float
    sessions: int

    @classmethod
    def fit(cls, maxima: FloatArray, sessions: int, usual: Usual = LIVES, models: int = 1) -> SessionTail:
        """Fit on the maxima of those benign sessions that were long enough to be evaluated, if there are any.

        `sessions` counts all of them: a session too short to be judged cannot alert, which is part of
        the chance that a session does. `usual` is what is known before. They are of so many models.
        """
        edge = max(float(np.quantile(maxima, TAIL_FROM)), PRIOR_EDGE) if len(maxima) else PRIOR_EDGE
        most = MOST_EXCESSES * models
        if len(maxima) > most:
            edge = max(edge, float(np.partition(maxima, -most - 1)[-most - 1]))
        excess = maxima[maxima > edge] - edge
        count = len(excess)
        total = float(excess.sum()) + usual.excesses * usual.scale
        scale = total / float(gammaincinv(count + usual.excesses, 1.0 - SURE))
        scale *= 1.0 + UNSEEN / max(sessions, 1)
        share = max(count, 1) / max(sessions, 1)
        return cls(edge, scale, share, sessions)

    def p_value(self, evidence: float) -> float:
        """Chance that a benign session ever reaches this evidence (an upper estimate below the edge)."""
        return float(min(1.0, self.share * np.exp(-max(evidence - self.edge, 0.0) / self.scale)))

    def threshold(self, budget: float) -> float:
        """The evidence that a benign session exceeds with chance `budget` / 10,000."""
        return float(self.edge + self.scale * max(0.0, np.log(self.share / (budget / 10_000.0))))

    def supported_budget(self) -> float:
        """False alerts per 10,000 sessions that this many clean ones could show (rule of three)."""
        return 3.0 / max(self.sessions, 1) * 10_000.0

    def to_array(self) -> npt.NDArray[np.float64]:
        """The four numbers."""
        return np.array([self.edge, self.scale, self.share, float(self.sessions)])

    @classmethod
    def from_array(cls, array: FloatArray) -> SessionTail:
        """The inverse of `to_array`."""
        edge, scale, share, sessions = array.tolist()
        return cls(edge, scale, share, int(sessions))


def tails_by_age(
    maxima: FloatArray,
    sessions: int,
    usual: tuple[Usual, Usual] = (FIRST_POINTS, LATER_POINTS),
    models: int = 1,
) -> tuple[SessionTail, SessionTail]:
    """The tails of entities in their first evaluation points, and later; `usual` says how these look
    elsewhere. `maxima_by_age` [k, 2] of those that were long enough to be evaluated; `sessions` as in
    `SessionTail.fit`, of so many models."""
    early, late = (
        SessionTail.fit(some[~np.isnan(some)], sessions, known, models)
        for some, known in zip(maxima.T, usual, strict=True)
    )
    return early, late


def thresholds_by_age(early: SessionTail, late: SessionTail, budget: float) -> tuple[float, float]:
    """The evidence that raises an alert on a session in its first evaluation points and later, for `budget`
    false alerts per 10,000 sessions in all."""
    low = early.threshold((1.0 - LATE_SHARE) * budget)
    return low, max(low, late.threshold(LATE_SHARE * budget))
