"""Membership inference round a candidate: how its answers change near it tells whether it was trained on."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker, both_sides
from benchmarks.traces.attacks.by_hand import asking


def crossing_distance(attacker: Attacker) -> None:
    """The distance to the boundary by bisection towards records of other classes; the shortest counts
    (Choquette-Choo et al. 2021, with fewer queries)."""
    rng, ask = attacker.rng, asking(attacker)
    others, halvings = int(rng.choice([1, 2, 4])), int(rng.choice([5, 8, 12]))
    rows = attacker.own_rows()[0]
    for x in attacker.candidates():
        label = ask(x[None])[0].argmax()
        for other in rows[rng.choice(len(rows), others, replace=False)]:
            if ask(other[None])[0].argmax() == label:
                continue
            low, high = 0.0, 1.0
            for _ in range(halvings):
                middle = (low + high) / 2
                same = ask((x + middle * (other - x))[None])[0].argmax() == label
                low, high = (middle, high) if same else (low, middle)


def growing_radius(attacker: Attacker) -> None:
    """Noise of ever larger radius until most tries have another label (Rahimian et al. 2020)."""
    rng, ask = attacker.rng, asking(attacker)
    first, growth = float(rng.choice([0.01, 0.03])), float(rng.choice([1.3, 1.6, 2.0]))
    tries = int(rng.choice([3, 5, 10]))
    for x in attacker.candidates():
        label, radius = ask(x[None])[0].argmax(), first
        for _ in range(10):
            labels = ask(x + radius * rng.normal(size=(tries, x.size))).argmax(axis=1)
            if (labels == label).mean() < 0.5:
                break
            radius *= growth


def changed_neighbours(attacker: Attacker) -> None:
    """The candidate's loss against that of neighbours with some columns as in other records (Mattern et al.
    2023)."""
    rng, ask = attacker.rng, asking(attacker)
    many, columns = int(rng.choice([6, 12, 25])), int(rng.choice([1, 2, max(2, attacker.columns // 10)]))
    rows = attacker.own_rows()[0]
    for x in attacker.candidates():
        near = np.repeat(x[None], many + 1, axis=0)
        for neighbour in near[1:]:
            changed = rng.choice(attacker.columns, min(columns, attacker.columns), replace=False)
            neighbour[changed] = rows[int(rng.integers(len(rows)))][changed]
        ask(near)


def flatness(attacker: Attacker) -> None:
    """The slope at the candidate, by differences to both sides along random directions: it is flatter at
    members (gradient size, Nasr et al. 2019, without gradients)."""
    rng, ask = attacker.rng, asking(attacker)
    directions, size = int(rng.choice([4, 8, 16])), float(rng.choice([0.02, 0.05, 0.15]))
    sparse = bool(rng.random() < 0.5)
    for x in attacker.candidates():
        aside = rng.normal(size=(directions, x.size))
        if sparse:
            aside *= rng.random(aside.shape) < max(0.15, 2 / x.size)
        ask(np.vstack([x[None], both_sides(x, size * aside)]))


def masking(attacker: Attacker) -> None:
    """Ever more columns of the candidate at their mean: a member's label survives longer."""
    rng, ask = attacker.rng, asking(attacker)
    shares = np.linspace(0.1, float(rng.choice([0.4, 0.7])), int(rng.choice([3, 5, 8])))
    tries = int(rng.choice([1, 2, 4]))
    middle = attacker.own_rows()[0].mean(axis=0)
    for x in attacker.candidates():
        ask(x[None])
        for share in shares:
            ask(np.where(rng.random((tries, x.size)) < share, middle, x))
