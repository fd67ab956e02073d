"""How a model's honest clients are mixed: which kinds there are how often, and how long they send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from benchmarks.traces.benign import Kind
from detector.query import FloatArray, IntArray

UNLIKE = 1.2
"""Standard deviation of the logarithm of a kind's share, from crowd to crowd."""
PATIENCE = 0.5
"""The same of how long its sessions are."""
COMMON = 0.1
"""A kind whose stated share is at least this is found in every crowd."""
FEWEST = 0.2
"""Each other kind is found in a crowd with a probability that is drawn for the crowd, from this to 1."""


class Crowd(NamedTuple):
    """Shares of the kinds [k], and how many times as long as usual their sessions are."""

    shares: FloatArray
    patience: float

    @classmethod
    def stated(cls, kinds: Mapping[str, Kind]) -> Crowd:
        """The shares that are stated with the kinds."""
        shares = np.array([kind.share for kind in kinds.values()])
        return cls(shares / shares.sum(), 1.0)

    @classmethod
    def drawn(cls, kinds: Mapping[str, Kind], rng: np.random.Generator) -> Crowd:
        """Other shares, some kinds not at all, and shorter or longer sessions: some models are asked by
        people, some by jobs, and few by everybody there is."""
        stated = cls.stated(kinds).shares
        shares = stated * np.exp(UNLIKE * rng.normal(size=len(kinds)))
        patience = float(np.exp(PATIENCE * rng.normal()))
        found = rng.random(len(kinds)) < rng.uniform(FEWEST, 1.0)
        shares *= found | (stated >= COMMON)
        return cls(shares / shares.sum(), patience)

    def choose(self, uniform: FloatArray) -> IntArray:
        """Numbers of the kinds [n] that draws uniform in [0, 1) stand for."""
        upto = self.shares.cumsum()
        return np.searchsorted(upto / upto[-1], uniform, side="right")
