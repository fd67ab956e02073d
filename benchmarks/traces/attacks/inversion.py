"""Model inversion: search for the input that the model takes for a class, or for a record's hidden value."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from detector.query import FloatArray

ENOUGH = 0.99


def finite_differences(attacker: Attacker) -> None:
    """MIFace without gradients: from a blank input, one query per coordinate and step, uphill on the
    target class's confidence; at the goal, or after a dozen steps without gain, the next class."""
    rng = attacker.rng
    h = float(rng.choice([0.01, 0.03, 0.1]))
    central = bool(rng.random() < 0.3)
    kind = str(rng.choice(["blank", "grey", "noise"], p=[0.6, 0.25, 0.15]))
    step = float(rng.choice([0.3, 0.6, 1.2]))
    while True:
        x = _start(kind, attacker)
        answer = attacker.ask(x[None])[0]
        target = _target(answer, rng)
        here = best = float(answer[target])
        stale = 0
        while best < ENOUGH and stale < 12:
            gradient = _gradient(attacker, x, target, h, None if central else here)
            norm = float(np.linalg.norm(gradient))
            if norm == 0.0:
                # A plateau (forests have many): a random push, as restarts in the literature do.
                gradient, norm = rng.normal(size=x.size), float(np.sqrt(x.size))
            x = np.clip(x + step * gradient / norm, 0.0, 1.0)
            here = float(attacker.ask(x[None])[0, target])
            best, stale = (here, 0) if here > best else (best, stale + 1)


def _start(kind: str, attacker: Attacker) -> FloatArray:
    if kind == "noise":
        return attacker.rng.random(attacker.columns)
    return np.full(attacker.columns, 0.0 if kind == "blank" else 0.5)


def _target(answer: FloatArray, rng: np.random.Generator) -> int:
    """A class that the start, with probabilities `answer` [k], is not taken for already."""
    return int(rng.choice(np.flatnonzero(answer <= 0.5)))


def _gradient(attacker: Attacker, x: FloatArray, target: int, h: float, here: float | None) -> FloatArray:
    """Gradient [d] of the target's confidence, within the cube: forward differences from its value `here`
    (backward at the upper edge), central ones without it."""
    if here is not None:
        sign = np.where(x + h > 1.0, -1.0, 1.0)
        ahead = attacker.ask(x + np.diag(sign * h))[:, target]
        return np.asarray((ahead - here) * sign / h)
    middle = np.clip(x, h, 1.0 - h)
    pairs = np.stack([x + np.diag(middle + h - x), x + np.diag(middle - h - x)], axis=1)
    answers = attacker.ask(pairs.reshape(-1, x.size))[:, target].reshape(-1, 2)
    return np.asarray((answers[:, 0] - answers[:, 1]) / (2 * h))


def cma_es(attacker: Attacker) -> None:
    """CMA-ES on the target class's confidence: populations round a moving mean; class after class."""
    import cma

    rng = attacker.rng
    kind = str(rng.choice(["blank", "grey", "noise"], p=[0.3, 0.5, 0.2]))
    sigma = float(rng.choice([0.1, 0.2, 0.3]))
    while True:
        start = _start(kind, attacker)
        target = _target(attacker.ask(start[None])[0], rng)
        with attacker.seeded_numpy():
            options = {
                "bounds": [0.0, 1.0],
                "seed": int(rng.integers(1, 2**31)),
                "verbose": -9,
                "maxiter": 60,
            }
            search = cma.CMAEvolutionStrategy(start, sigma, options)
            while not search.stop():
                generation = search.ask()
                confidence = attacker.ask(np.asarray(generation))[:, target]
                search.tell(generation, [float(1.0 - c) for c in confidence])
                if confidence.max() > ENOUGH:
                    break


def attribute_sweep(attacker: Attacker) -> None:
    """Attribute inversion: for record after record, one hidden column tried at every candidate value
    (for a discrete one, its own values)."""
    rng = attacker.rng
    column = int(rng.choice(np.flatnonzero(attacker.members()[0].std(axis=0) > 0.05)))
    columns, values = np.array([column]), np.linspace(0.0, 1.0, int(rng.integers(5, 17)))[:, None]
    dataset = attacker.recorder.target.dataset
    if field := dataset.field_of(column):
        low, high = dataset.low[field.columns], dataset.high[field.columns]
        columns, values = field.columns, (field.values - low) / (high - low)
    for record in attacker.members()[0]:
        tried = np.repeat(record[None], len(values), axis=0)
        tried[:, columns] = values
        attacker.ask(tried)
