"""Searches that take ten lines and no library: what is tried before, or instead of, a published tool.

All but the noise and blends at the end go uphill on the confidence in one class after another, from a random
input, a grey one or a record. Half of the attackers send values as the data's own source writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.inversion import ENOUGH
from detector.query import FloatArray

Ask = Callable[[FloatArray], FloatArray]
PATIENCE = 60
"""Tries without a gain after which a search begins again."""


def asking(attacker: Attacker) -> Ask:
    """How this attacker's program writes values of the unit cube: raw, or as the data's source does."""
    natural = attacker.rng.random() < 0.5
    send = attacker.ask_natural if natural else attacker.ask
    return lambda unit: send(np.clip(unit, 0.0, 1.0))


class _Climb:
    """One search for one class: where it is, and the confidence there."""

    def __init__(self, attacker: Attacker, ask: Ask, start: str) -> None:
        rng = attacker.rng
        self._ask = ask
        self.x = attacker.own_rows()[0][0] if start == "record" else np.full(attacker.columns, 0.5)
        if start == "random":
            self.x = rng.random(attacker.columns)
        answer = ask(self.x[None])[0]
        likely = start == "record" and rng.random() < 0.5
        self.target = int(answer.argmax()) if likely else int(rng.integers(attacker.classes))
        self.value = float(answer[self.target])
        self.stale = 0

    @property
    def over(self) -> bool:
        return self.stale >= PATIENCE or self.value > ENOUGH

    def at(self, point: FloatArray) -> float:
        """The confidence at a point [d]."""
        return float(self._ask(point[None])[0, self.target])

    def offer(self, point: FloatArray) -> bool:
        """Go there if that is uphill, or on a plateau level."""
        value = self.at(point)
        better = value >= self.value
        self.stale = 0 if value > self.value else self.stale + 1
        if better:
            self.x, self.value = np.clip(point, 0.0, 1.0), value
        return better


def _climbs(attacker: Attacker) -> Iterator[_Climb]:
    ask, start = asking(attacker), str(attacker.rng.choice(["random", "grey", "record"]))
    while True:
        yield _Climb(attacker, ask, start)


def hill_climbing(attacker: Attacker) -> None:
    """Some columns at random by a little; kept if it helps."""
    rng, d = attacker.rng, attacker.columns
    count = int(rng.choice([1, min(3, d), max(1, d // 5), d]))
    size = float(rng.choice([0.05, 0.15, 0.4]))
    for climb in _climbs(attacker):
        while not climb.over:
            step = np.zeros(d)
            step[rng.choice(d, count, replace=False)] = size * rng.normal(size=count)
            climb.offer(climb.x + step)


def evolution_strategy(attacker: Attacker) -> None:
    """(1+1)-ES with the one-fifth rule (Rechenberg 1973): wider after a gain, narrower after none."""
    rng = attacker.rng
    first, wider = float(rng.choice([0.05, 0.15, 0.3])), float(rng.choice([1.2, 1.5]))
    for climb in _climbs(attacker):
        size = first
        while not climb.over:
            gained = climb.offer(climb.x + size * rng.normal(size=attacker.columns))
            size = max(0.001, size * (wider if gained else wider**-0.25))


def metropolis(attacker: Attacker) -> None:
    """Simulated annealing (Kirkpatrick et al. 1983): downhill too, ever less."""
    rng = attacker.rng
    hot, cooling = float(rng.choice([0.1, 0.3])), float(rng.choice([0.95, 0.99]))
    heavy = bool(rng.random() < 0.5)
    for climb in _climbs(attacker):
        temperature = hot
        for _ in range(5 * PATIENCE):
            noise = rng.normal(size=attacker.columns)
            noise = np.clip(noise / rng.normal(size=noise.size), -5.0, 5.0) if heavy else noise
            point = np.clip(climb.x + temperature * noise, 0.0, 1.0)
            value = climb.at(point)
            if value > climb.value or rng.random() < np.exp((value - climb.value) / temperature):
                climb.x, climb.value = point, value
            temperature = max(0.02, temperature * cooling)
            if climb.value > ENOUGH:
                break


def spsa(attacker: Attacker) -> None:
    """Simultaneous perturbation (Spall 1992): all columns at once up or down and the reverse, then a step."""
    rng, d = attacker.rng, attacker.columns
    reach, step = float(rng.choice([0.01, 0.05, 0.1])), float(rng.choice([0.02, 0.05, 0.15]))
    for climb in _climbs(attacker):
        for k in range(1, PATIENCE):
            signs = rng.choice([-1.0, 1.0], d)
            change = reach / k**0.101 * signs
            up, down = climb.at(climb.x + change), climb.at(climb.x - change)
            slope = np.log(up + 1e-9) - np.log(down + 1e-9)
            climb.x = np.clip(climb.x + step * np.sign(slope) * signs, 0.0, 1.0)
            if up > ENOUGH:
                break


def pattern_search(attacker: Attacker) -> None:
    """Hooke and Jeeves (1961): each column up, else down; when none helps, half the step."""
    rng = attacker.rng
    first = float(rng.choice([0.1, 0.25, 0.5]))
    for climb in _climbs(attacker):
        size = first
        while size > 0.01 and climb.value <= ENOUGH:
            before = climb.value
            for column in rng.permutation(attacker.columns):
                for way in (size, -size):
                    point = climb.x.copy()
                    point[column] = np.clip(point[column] + way, 0.0, 1.0)
                    if point[column] != climb.x[column] and climb.offer(point):
                        break
            size = size if climb.value > before else size / 2


def noise_escalation(attacker: Attacker) -> None:
    """Foolbox's repeated additive noise: a record with noise, ever more of it, until its label changes."""
    rng, ask = attacker.rng, asking(attacker)
    kind = str(rng.choice(["gaussian", "uniform", "salt and pepper"]))
    first, growth = float(rng.choice([0.01, 0.03])), float(rng.choice([1.2, 1.5]))
    each = int(rng.choice([1, 5, 10]))
    for source in attacker.own_rows()[0]:
        label, size = ask(source[None])[0].argmax(), first
        while size < 1.0:
            tried = np.array([_noisy(source, kind, size, rng) for _ in range(each)])
            if (ask(tried).argmax(axis=1) != label).any():
                break
            size *= growth


def _noisy(x: FloatArray, kind: str, size: float, rng: np.random.Generator) -> FloatArray:
    if kind == "gaussian":
        return np.asarray(x + size * rng.normal(size=x.size))
    if kind == "uniform":
        return np.asarray(x + size * rng.uniform(-1.7, 1.7, x.size))
    return np.asarray(np.where(rng.random(x.size) < size, rng.integers(0, 2, x.size), x))


def blending(attacker: Attacker) -> None:
    """From a record towards one of another class, by equal steps or by halves, to where the label changes."""
    rng, ask = attacker.rng, asking(attacker)
    halves, steps = bool(rng.random() < 0.6), int(rng.choice([8, 12, 20]))
    while True:
        near, far = attacker.own_rows()[0][:2]
        labels = ask(np.stack([near, far])).argmax(axis=1)
        if labels[0] == labels[1]:
            continue
        low, high = 0.0, 1.0
        for i in range(1, steps):
            share = (low + high) / 2 if halves else i / steps
            if ask((near + share * (far - near))[None])[0].argmax() == labels[0]:
                low = share
            elif halves:
                high = share
            else:
                break
