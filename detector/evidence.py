"""Evidence: what a session's scores add up to, and the threshold that a false-alert budget buys.

At each evaluation point with score e (mean surprise, about 1 on benign traffic) the evidence moves to
max(0, LEAK * evidence + e - DRIFT): a CUSUM (Page 1954) that forgets, so that a benign session which is
merely unusual levels off, however long it lasts, instead of growing without bound.

The false-alert budget is a chance per session, so the threshold is a quantile of the *session maximum*
of the evidence among benign sessions. Beyond what they reached it is extrapolated with an exponential
tail (generalised Pareto with shape 0) above the 90th percentile. The scale is its upper 95% limit given the
excesses seen here and the prior that comes with querywatch, which counts as PRIOR_EXCESSES more of them with
mean PRIOR_SCALE (their sum is Gamma distributed): a small history buys a higher threshold, and a few wild
sessions among few do not put it out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

from detector.query import FloatArray, IntArray
from models.compiled import jit

LEAK = 0.97
DRIFT = 2.0
TAIL_FROM = 0.90
PRIOR_EXCESSES = 10
PRIOR_SCALE = 4.0
"""What the tails of other deployments looked like, and how many excesses that is worth."""
PRIOR_EDGE = 2.0
"""Smallest evidence at which the tail may begin."""


@jit
def accumulate(evidence: float, score: float) -> float:
    """Evidence after one more score; NaN (no opinion) leaves it as it is."""
    if np.isnan(score):
        return evidence
    return max(0.0, LEAK * evidence + score - DRIFT)


@jit
def _maxima(scores: Any, serials: Any, count: int) -> Any:
    now = np.zeros(count)
    most = np.zeros(count)
    for i in range(scores.shape[0]):
        s = serials[i]
        now[s] = accumulate(now[s], scores[i])
        most[s] = max(most[s], now[s])
    return most


def session_maxima(scores: FloatArray, sessions: IntArray) -> FloatArray:
    """Largest evidence each session ever had; rows [n] in time order, one value a distinct session."""
    _, dense = np.unique(sessions, return_inverse=True)
    count = int(dense.max()) + 1 if len(dense) else 0
    return np.asarray(_maxima(scores, dense.astype(np.int64), count), dtype=np.float64)


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
    def fit(cls, maxima: FloatArray, sessions: int) -> SessionTail:
        """Fit on the maxima of those benign sessions that were long enough to be evaluated.

        `sessions` counts all of them: a session too short to be judged cannot alert, which is part of
        the chance that a session does.
        """
        edge = max(float(np.quantile(maxima, TAIL_FROM)), PRIOR_EDGE)
        excess = maxima[maxima > edge] - edge
        count = len(excess)
        total = float(excess.sum()) + PRIOR_EXCESSES * PRIOR_SCALE
        scale = total / float(gammaincinv(count + PRIOR_EXCESSES, 0.05))
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
