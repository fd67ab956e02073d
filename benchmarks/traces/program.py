"""What programs of attackers are like, whatever attack they carry out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

REMEMBERS, CHECKS = 0.5, 0.5
"""Share of natural programs that remember answers, and of all programs that check what they have."""
MOST_CHECKS = 0.5
"""Most checks a call; the least is 1 in 50."""


class Program(NamedTuple):
    """natural    writes rows as the data's own source does, as an interface with typed fields asks for
               (whole grey values, known categories)
    remembers  does not ask twice for the same row: it remembers answers
    checks     chance that a call is followed by one for a row that was asked for before: where the search
               began, or where it stands, as loops do that look each time at the score of what they have
    """

    natural: bool = False
    remembers: bool = False
    checks: float = 0.0

    @classmethod
    def drawn(cls, rng: np.random.Generator, natural: bool) -> Program:
        """A program like those that one meets: tools and scripts seldom remember what they asked, and
        many ask again."""
        remembers, checks = rng.random(2)
        share = float(np.exp(rng.uniform(np.log(0.02), np.log(MOST_CHECKS))))
        return cls(natural, natural and bool(remembers < REMEMBERS), share if checks < CHECKS else 0.0)


OWN_NUMBERS = Program()
"""Writes numbers of its own, forgets, and checks nothing."""
