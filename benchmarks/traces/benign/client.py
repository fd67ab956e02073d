"""An honest client, and how often and how long its kind sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.traces.targets import Population, Writers
from detector.query import FloatArray

POOL = 48
"""Rows that differences are taken of."""


@dataclass(frozen=True)
class Client:
    """Whose traffic it is: `mix` [k] are the class shares this client meets."""

    population: Population
    rng: np.random.Generator
    mix: FloatArray

    def rows(self, n: int) -> FloatArray:
        """n natural rows of this client's own mix."""
        return self.population.draw(self.rng, n, self.mix)

    def texts(self, n: int) -> list[str]:
        """n texts of this client's own mix, of a data set of strings."""
        return self._writers.texts(self.rng, n, self.mix)

    @property
    def vocabulary(self) -> list[str]:
        """All words of such a data set."""
        return self._writers.vocabulary

    @property
    def _writers(self) -> Writers:
        if not isinstance(self.population, Writers):
            raise TypeError(f"the inputs of {self.population.dataset.name} are no texts that anybody writes")
        return self.population

    def differences(self, n: int) -> FloatArray:
        """[n, d] differences of two of this client's rows each, scaled to vary as much as the rows do."""
        pool = self.rows(POOL)
        first = self.rng.integers(0, POOL, n)
        second = (first + self.rng.integers(1, POOL, n)) % POOL
        return np.asarray((pool[first] - pool[second]) / np.sqrt(2.0))

    def of_one_class(self) -> Client:
        """A client who meets nearly nothing but one class."""
        mix = np.full(self.mix.size, 0.02 / self.mix.size)
        mix[self.rng.integers(mix.size)] += 0.98
        return Client(self.population, self.rng, mix)


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

    def length(self, rng: np.random.Generator, patience: float = 1.0) -> int:
        """Queries of one session, of a crowd whose sessions are `patience` times as long as usual."""
        drawn = round(patience * self.median * np.exp(self.sigma * rng.normal()))
        return int(np.clip(drawn, self.shortest, self.longest))
