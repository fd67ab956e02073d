"""Model inversion by searches of other kinds: evolution, annealing, simplex, in input and latent space, and
label-only spheres. Each goes after one class and, at the goal or when it gives up, after the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker, both_sides
from benchmarks.traces.attacks.inversion import ENOUGH
from benchmarks.traces.attacks.latent import Latent
from detector.query import FloatArray

Decode = Callable[[FloatArray], FloatArray]


class _Reached(Exception):
    """The target class's confidence is high enough; unwinds the optimiser."""


class Goal:
    """What a minimiser sees of the model: 1 - confidence of one class, at points [k] of the search space."""

    def __init__(self, attacker: Attacker, decode: Decode, target: int) -> None:
        self.attacker, self.decode, self.target = attacker, decode, target

    def many(self, points: FloatArray) -> FloatArray:
        """Values [n] at points [n, k]. Raises _Reached."""
        confidence = self.attacker.ask(self.decode(points))[:, self.target]
        if confidence.max() > ENOUGH:
            raise _Reached
        return 1.0 - confidence

    def one(self, point: FloatArray) -> float:
        """The value at one point [k]. Raises _Reached."""
        return float(self.many(point[None])[0])


def class_after_class(attacker: Attacker, search: Callable[[int], None]) -> None:
    while True:
        for target in attacker.rng.permutation(attacker.classes):
            try:
                search(int(target))
            except _Reached:
                continue


def _cube(points: FloatArray) -> FloatArray:
    return np.clip(points, 0.0, 1.0)


def differential_evolution(attacker: Attacker) -> None:
    """SciPy's differential evolution in the unit cube, generation by generation."""
    _evolve(attacker, _cube, 0.0, 1.0, attacker.columns)


def latent_differential_evolution(attacker: Attacker) -> None:
    """The same over the codes of a generator."""
    latent = Latent(attacker)
    _evolve(attacker, latent.decode, -3.0, 3.0, latent.size)


def _evolve(attacker: Attacker, decode: Decode, low: float, high: float, k: int) -> None:
    from scipy.optimize import Bounds
    from scipy.optimize import differential_evolution as evolve

    rng = attacker.rng
    population = int(rng.choice([15, 30, 60]))

    def search(target: int) -> None:
        goal = Goal(attacker, decode, target)

        def everyone(points: FloatArray) -> Any:
            """Values [n] at columns [k, n]; SciPy's types know of one value at a time only."""
            return goal.many(points.T)

        evolve(
            everyone,
            Bounds(np.full(k, low), np.full(k, high)),
            init=rng.uniform(low, high, (population, k)),
            updating="deferred",
            vectorized=True,
            polish=False,
            maxiter=40,
            rng=rng,
        )

    class_after_class(attacker, search)


def dual_annealing(attacker: Attacker) -> None:
    """SciPy's dual annealing in the unit cube: long jumps in all coordinates, then in one at a time."""
    from scipy.optimize import dual_annealing as anneal

    def search(target: int) -> None:
        goal = Goal(attacker, _cube, target)
        bounds = [(0.0, 1.0)] * attacker.columns
        anneal(goal.one, bounds, maxiter=200, no_local_search=True, rng=attacker.rng)

    class_after_class(attacker, search)


def nelder_mead(attacker: Attacker) -> None:
    """SciPy's simplex of Nelder and Mead from one of the attacker's own rows."""
    from scipy.optimize import Bounds, minimize

    def search(target: int) -> None:
        start = attacker.own_rows()[0][0]
        goal = Goal(attacker, _cube, target)
        cube = Bounds(np.zeros(start.size), np.ones(start.size))
        most = 8 * attacker.columns
        minimize(
            goal.one, start, method="Nelder-Mead", bounds=cube, options={"maxfev": most, "adaptive": True}
        )

    class_after_class(attacker, search)


def latent_cma_es(attacker: Attacker) -> None:
    """CMA-ES over the codes of a generator, as SMILE and its kin search a GAN's latent space."""
    import cma

    rng, latent = attacker.rng, Latent(attacker)

    def search(target: int) -> None:
        goal = Goal(attacker, latent.decode, target)
        options = {"seed": int(rng.integers(1, 2**31)), "verbose": -9, "maxiter": 40}
        with attacker.seeded_numpy():
            strategy = cma.CMAEvolutionStrategy(np.zeros(latent.size), 1.0, options)
            while not strategy.stop():
                generation = strategy.ask()
                strategy.tell(generation, goal.many(np.asarray(generation)).tolist())

    class_after_class(attacker, search)


def nes_inversion(attacker: Attacker) -> None:
    """Antithetic NES uphill on the class's confidence, from a grey input."""
    rng = attacker.rng
    sigma, step = float(rng.choice([0.01, 0.05, 0.1])), float(rng.choice([0.3, 0.6]))
    pairs = int(rng.choice([5, 10, 25]))

    def search(target: int) -> None:
        goal = Goal(attacker, _cube, target)
        x = np.full(attacker.columns, 0.5)
        for _ in range(40):
            goal.one(x)
            noise = rng.normal(size=(pairs, x.size))
            value = goal.many(both_sides(x, sigma * noise)).reshape(-1, 2)
            gradient = ((value[:, 0] - value[:, 1])[:, None] * noise).mean(axis=0)
            norm = max(float(np.linalg.norm(gradient)), 1e-12)
            x = np.clip(x - step * gradient / norm, 0.0, 1.0)

    class_after_class(attacker, search)


def genetic_search(attacker: Attacker) -> None:
    """MIRROR: a population of codes; the best stay, the rest are crossed and mutated from them."""
    rng, latent = attacker.rng, Latent(attacker)
    size = int(rng.choice([20, 50, 100]))
    elite = size // 5

    def search(target: int) -> None:
        goal = Goal(attacker, latent.decode, target)
        codes = rng.normal(size=(size, latent.size))
        values = goal.many(codes)
        for _ in range(10):
            best = np.argsort(values, kind="stable")[:elite]
            parents = codes[rng.choice(best, (2, size - elite))]
            mixed = np.where(rng.random((size - elite, latent.size)) < 0.5, *parents)
            mutated = rng.random(mixed.shape) < 0.2
            children = mixed + mutated * rng.normal(size=mixed.shape)
            codes = np.vstack([codes[best], children])
            values = np.concatenate([values[best], goal.many(children)])

    class_after_class(attacker, search)


def sphere_sampling(attacker: Attacker) -> None:
    """BREP-MI, labels only: 32 codes on a sphere round a centre of the class; away from those that are not
    of it, and when nearly all are, a wider sphere."""
    rng, latent = attacker.rng, Latent(attacker)

    def inside(codes: FloatArray, target: int) -> FloatArray:
        labels = attacker.ask(latent.decode(codes)).argmax(axis=1)
        return np.where(labels == target, 1.0, -1.0)

    while True:
        target = int(rng.integers(attacker.classes))
        codes = rng.normal(size=(64, latent.size))
        hits = np.flatnonzero(inside(codes, target) > 0)
        if not hits.size:
            continue
        centre, radius = codes[hits[0]], 0.2 * float(np.sqrt(latent.size))
        for _ in range(25):
            around = rng.normal(size=(32, latent.size))
            around /= np.linalg.norm(around, axis=1, keepdims=True)
            signs = inside(centre + radius * around, target)
            if signs.sum() > 0.75 * 32:
                radius *= 1.3
                continue
            outward = np.where(signs < 0, signs, 0.0)[:, None] * around
            moved = np.clip(centre + min(radius / 3, 3.0) * outward.mean(axis=0) * 8, -3.0, 3.0)
            if inside(moved[None], target)[0] > 0:
                centre = moved
