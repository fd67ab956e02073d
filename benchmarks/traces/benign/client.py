"""An honest client, and how often and how long its kind sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.traces.targets import Population
from detector.query import FloatArray


@dataclass(frozen=True)
class Client:
    """Whose traffic it is: `mix` [k] are the class shares this client meets."""

    population: Population
    rng: np.random.Generator
    mix: FloatArray

    def rows(self, n: int) -> FloatArray:
        """n natural rows of this client's own mix."""
        return self.population.draw(self.rng, n, self.mix)


@dataclass(frozen=True)
class Kind:
    """A kind's share of sessions, its length (median, log sigma; heavy-tailed; within bounds) and its usual
    paces."""

    draw: Callable[[Client, int], FloatArray]
    share: float
    median: float
    sigma: float
    paces: tuple[str, ...]
    shortest: int = 3
    longest: int = 500

    def length(self, rng: np.random.Generator) -> int:
        """Queries of one session."""
        return int(
            np.clip(round(self.median * np.exp(self.sigma * rng.normal())), self.shortest, self.longest)
        )
