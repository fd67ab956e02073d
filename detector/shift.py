"""Would the traffic of late teach a profile to look away? Asked before a newer profile is made.

A patient attacker lets many accounts send the first queries of an attack each, and stop before it alerts.
Once they are many, they are what is normal. The profile in force has not learned from them: to it they are
sessions that are rare and look like an attack. Those teach nothing, so they stay visible to the next profile.

It also says itself how many sessions may be as rare: one in a hundred, whatever they look like. Page's
test (1954) adds up from look to look what goes beyond that, so that a share which grows in small steps is
seen too. Then no newer profile is made: where so many are visible there are others that are not. Honest
traffic that drifts is odd without looking like an attack, and passes.
"""

from __future__ import annotations

import math

import numpy as np

from detector.contamination import attack_sums
from detector.evidence import session_maxima
from detector.features.inputs import of_texts
from detector.profile import ModelProfile
from detector.query import IntArray
from detector.rows import Rows
from models.recogniser import shipped

RARE = 0.01
"""Chance per session of the evidence from which a session counts as rare."""
LIKE = 5.0
"""Forgetting sum of the recogniser's log-odds from which a session looks like an attack."""
DEVIATIONS = 3.0
"""Standard deviations of the number of rare sessions that chance may add."""


class Shift:
    """How far traffic has moved towards attacks; `excess` counts the sessions that were too many so far."""

    def __init__(self, excess: float = 0.0, *, held: bool = False) -> None:
        self.excess = excess
        self.held = held
        """True while the profile in force must not be replaced."""

    def look(self, judge: ModelProfile, rows: Rows) -> IntArray:
        """Account for evaluation points that no look has seen yet; the serials of the sessions that must not
        teach."""
        found = attack_like(judge, rows)
        self.account(len(found), len(np.unique(rows.entities)))
        return found

    def account(self, found: int, sessions: int) -> bool:
        """Account for so many attack-like ones among so many sessions; whether the profile is held now."""
        if sessions == 0:
            return self.held
        allowed = RARE * sessions
        limit = DEVIATIONS * math.sqrt(allowed) + 1.0
        self.excess = max(0.0, self.excess + found - allowed)
        self.held = self.excess > limit
        if self.held:
            # No more is remembered than some honest looks take back.
            self.excess = min(self.excess, 2.0 * limit)
        return self.held


def attack_like(judge: ModelProfile, rows: Rows) -> IntArray:
    """Sessions among `rows` that are rare to `judge` and look like attacks to the recogniser by its tails."""
    if not len(rows.entities):
        return np.empty(0, dtype=np.int64)
    evidence = session_maxima(judge.ensemble.score(rows.features, rows.points), rows.entities)
    odds = shipped(of_texts(judge.inputs)).score(judge.ensemble.tail.see(rows.features).signed, rows.points)
    like = attack_sums(odds, rows.entities) > LIKE
    return np.unique(rows.entities)[like & (evidence > judge.tail.threshold(10_000.0 * RARE))]
