"""Model inversion: search for the input that the model takes for a class, or for a record's hidden value."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker, import_cma
from detector.query import FloatArray

ENOUGH = 0.99


def finite_differences(attacker: Attacker) -> None:
    """MIFace without gradients: from a blank input, one query per coordinate and step, uphill on the
    target class's confidence; at the goal, or after a dozen steps without gain, the next class."""
    rng = attacker.rng
    h = float(rng.choice([0.01, 0.03, 0.1]))
    central = rng.random() < 0.3
    start = rng.choice(["blank", "grey", "noise"], p=[0.6, 0.25, 0.15])
    while True:
        target = int(rng.integers(attacker.classes))
        x = _start(str(start), attacker)
        best, stale, step = 0.0, 0, float(rng.choice([0.1, 0.3, 1.0]))
        while best < ENOUGH and stale < 12:
            here = float(attacker.ask(x[None])[0, target])
            best, stale = (here, 0) if here > best else (best, stale + 1)
            gradient = _gradient(attacker, x, target, h, central, here)
            norm = float(np.linalg.norm(gradient))
            if norm == 0.0:
                # A plateau (forests have many): a random push, as restarts in the literature do.
                gradient, norm = rng.normal(size=x.size), float(np.sqrt(x.size))
            x = np.clip(x + step * gradient / norm, 0.0, 1.0)


def _start(kind: str, attacker: Attacker) -> FloatArray:
    if kind == "noise":
        return attacker.rng.random(attacker.columns)
    return np.full(attacker.columns, 0.0 if kind == "blank" else 0.5)


def _gradient(
    attacker: Attacker, x: FloatArray, target: int, h: float, central: bool, here: float
) -> FloatArray:
    """Gradient [d] of the target's confidence. Coordinates at the upper edge are probed downwards."""
    sign = np.where(x + h > 1.0, -1.0, 1.0)
    moves = np.diag(sign * h)
    if not central:
        ahead = attacker.ask(x + moves)[:, target]
        return np.asarray((ahead - here) / (sign * h))
    pairs = np.stack([x + moves, x - moves], axis=1).reshape(-1, x.size)
    answers = attacker.ask(np.clip(pairs, 0.0, 1.0))[:, target].reshape(-1, 2)
    return np.asarray((answers[:, 0] - answers[:, 1]) / (2 * sign * h))


def cma_es(attacker: Attacker) -> None:
    """CMA-ES on the target class's confidence: populations round a moving mean; class after class."""
    cma, rng = import_cma(), attacker.rng
    start, sigma = (
        str(rng.choice(["blank", "grey", "noise"], p=[0.3, 0.5, 0.2])),
        float(rng.choice([0.1, 0.2, 0.3])),
    )
    while True:
        target = int(rng.integers(attacker.classes))
        with attacker.seeded_numpy():
            options = {
                "bounds": [0.0, 1.0],
                "seed": int(rng.integers(1, 2**31)),
                "verbose": -9,
                "maxiter": 60,
            }
            search = cma.CMAEvolutionStrategy(_start(start, attacker), sigma, options)
            while not search.stop():
                generation = search.ask()
                confidence = attacker.ask(np.asarray(generation))[:, target]
                search.tell(generation, [float(1.0 - c) for c in confidence])
                if confidence.max() > ENOUGH:
                    break


def attribute_sweep(attacker: Attacker) -> None:
    """Attribute inversion: for record after record, one hidden column tried at every candidate value."""
    rng = attacker.rng
    column = int(rng.choice(np.flatnonzero(attacker.members()[0].std(axis=0) > 0.05)))
    values = np.linspace(0.0, 1.0, int(rng.integers(5, 17)))
    for record in attacker.members()[0]:
        tried = np.repeat(record[None], len(values), axis=0)
        tried[:, column] = values
        attacker.ask(tried)
