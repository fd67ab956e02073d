"""Model inversion by optimisers that learn from what was asked: a forest, a policy, moments of a gradient,
and Powell's directions. Each searches the inputs themselves or the codes of a generator."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from benchmarks.traces.attacks.attacker import Attacker, both_sides
from benchmarks.traces.attacks.inversion_search import Goal, class_after_class
from benchmarks.traces.attacks.latent import Latent
from detector.query import FloatArray


class _Space:
    """Where an optimiser searches: codes of unit variance [k], decoded to inputs of the unit cube."""

    def __init__(self, attacker: Attacker) -> None:
        rng = attacker.rng
        self._latent = Latent(attacker) if rng.random() < 0.6 else None
        self.size = self._latent.size if self._latent else attacker.columns
        self._spread = float(rng.choice([0.15, 0.3]))
        rows = attacker.own_rows()[0]
        self._middle = rows.mean(axis=0) if rng.random() < 0.5 else np.full(attacker.columns, 0.5)

    def decode(self, codes: FloatArray) -> FloatArray:
        """Inputs [n, d] of codes [n, k]."""
        if self._latent:
            return self._latent.decode(codes)
        return np.clip(self._middle + self._spread * codes, 0.0, 1.0)


def surrogate_search(attacker: Attacker) -> None:
    """A forest learns the answers; what it thinks could be best is asked next (SMAC, Hutter et al. 2011)."""
    rng, space = attacker.rng, _Space(attacker)
    first, each = int(rng.choice([8, 16, 30])), int(rng.choice([1, 4, 10]))
    reach, bold = float(rng.choice([0.3, 0.6])), float(rng.choice([0.5, 1.0, 2.0]))

    def search(target: int) -> None:
        goal = Goal(attacker, space.decode, target)
        codes = rng.normal(size=(first, space.size))
        values = goal.many(codes)
        for _ in range(25):
            forest = ExtraTreesRegressor(20, random_state=int(rng.integers(2**31))).fit(codes, values)
            best = codes[np.argsort(values, kind="stable")[:3]]
            near = best[rng.integers(len(best), size=80)]
            near = near + reach * rng.normal(size=near.shape) * (rng.random(near.shape) < 0.4)
            tried = np.vstack([near, rng.normal(size=(40, space.size))])
            guesses = np.array([tree.predict(tried) for tree in forest.estimators_])
            promise = guesses.mean(axis=0) - bold * guesses.std(axis=0)
            chosen = tried[np.argsort(promise, kind="stable")[:each]]
            codes, values = np.vstack([codes, chosen]), np.concatenate([values, goal.many(chosen)])

    class_after_class(attacker, search)


def zeroth_order_adam(attacker: Attacker) -> None:
    """Differences to both sides along random directions; Adam's moments make the step (ZO-AdaMM, Chen et al.
    2019)."""
    rng, space = attacker.rng, _Space(attacker)
    size, step = float(rng.choice([0.05, 0.15, 0.4])), float(rng.choice([0.1, 0.3]))
    directions = int(rng.choice([1, 4, 10]))

    def search(target: int) -> None:
        goal = Goal(attacker, space.decode, target)
        x = 0.3 * rng.normal(size=space.size)
        first, second = np.zeros(space.size), np.zeros(space.size)
        for t in range(1, 40):
            aside = rng.normal(size=(directions, space.size))
            value = np.log(goal.many(both_sides(x, size * aside)) + 1e-3).reshape(-1, 2)
            gradient = ((value[:, 0] - value[:, 1])[:, None] * aside).mean(axis=0) / (2 * size)
            first, second = 0.8 * first + 0.2 * gradient, 0.95 * second + 0.05 * gradient**2
            scale = np.sqrt(second / (1 - 0.95**t)) + 1e-6
            x = x - step * first / (1 - 0.8**t) / scale

    class_after_class(attacker, search)


def policy_search(attacker: Attacker) -> None:
    """A Gaussian policy of steps, rewarded with the answer: REINFORCE with a baseline (after RLB-MI, Han et
    al. 2023)."""
    rng, space = attacker.rng, _Space(attacker)
    spread, keep = float(rng.choice([0.2, 0.5, 1.0])), float(rng.choice([0.8, 0.95, 1.0]))

    def search(target: int) -> None:
        goal = Goal(attacker, space.decode, target)
        x, drift, baseline, width = 0.5 * rng.normal(size=space.size), np.zeros(space.size), 0.0, spread
        for i in range(150):
            action = drift + width * rng.normal(size=space.size)
            reward = -float(np.log(goal.one(keep * x + action) + 1e-3))
            advantage = reward - baseline if i else 0.0
            baseline = 0.8 * baseline + 0.2 * reward if i else reward
            drift = 0.9 * drift + 0.1 * np.clip(advantage, -1.5, 1.5) * (action - drift) / width
            if advantage > -0.2:
                x = keep * x + action
            width = max(0.3 * spread, 0.99 * width)

    class_after_class(attacker, search)


def powell(attacker: Attacker) -> None:
    """SciPy's Powell: line searches along one direction after the other, bent as it goes."""
    from scipy.optimize import Bounds, minimize

    rng, space = attacker.rng, _Space(attacker)
    few = min(space.size, int(rng.choice([5, 10, 30])))
    start = rng.normal(size=space.size)

    def search(target: int) -> None:
        goal = Goal(attacker, space.decode, target)

        def value(point: FloatArray) -> float:
            return goal.one(np.concatenate([point, start[few:]]))

        cube = Bounds(np.full(few, -3.0), np.full(few, 3.0))
        first = np.clip(0.5 * start[:few] + 0.3 * rng.normal(size=few), -2.9, 2.9)
        minimize(value, first, method="Powell", bounds=cube, options={"maxfev": 200})

    class_after_class(attacker, search)
