"""Score-based evasion: the confidence of the true class is pushed down. NES, bandits, SimBA and Square."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker, both_sides
from detector.query import FloatArray


def nes(attacker: Attacker) -> None:
    """NES: a gradient from antithetic Gaussian pairs round the current point, a step along its sign."""
    rng = attacker.rng
    sigma = float(rng.choice([0.001, 0.01, 0.05]))
    pairs = int(rng.choice([5, 10, 25]))
    step = float(rng.choice([0.01, 0.03, 0.1]))
    limit = float(rng.choice([0.1, 0.3]))
    for source in attacker.own_rows()[0]:
        x = source.copy()
        answer = attacker.ask(x[None])[0]
        label = int(answer.argmax())
        for _ in range(40):
            if answer.argmax() != label:
                break
            noise = rng.normal(size=(pairs, x.size))
            tried = np.clip(both_sides(x, sigma * noise), 0.0, 1.0)
            score = attacker.ask(tried)[:, label].reshape(-1, 2)
            gradient = ((score[:, 0] - score[:, 1])[:, None] * noise).mean(axis=0)
            moved = x - step * np.sign(gradient)
            x = np.clip(np.clip(moved, source - limit, source + limit), 0.0, 1.0)
            answer = attacker.ask(x[None])[0]


def bandits(attacker: Attacker) -> None:
    """Bandits (Ilyas et al. 2019): a guess of the gradient is kept from step to step, and turned by one pair
    of queries to either side of it; a step along its sign."""
    rng = attacker.rng
    reach, explore = float(rng.choice([0.01, 0.05, 0.2])), float(rng.choice([0.3, 1.0]))
    step, learning = float(rng.choice([0.005, 0.02, 0.05])), float(rng.choice([0.5, 2.0]))
    limit = float(rng.choice([0.1, 0.3]))
    for source in attacker.own_rows()[0]:
        answer = attacker.ask(source[None])[0]
        label, x, guess = int(answer.argmax()), source.copy(), np.zeros(source.size)
        for _ in range(70):
            aside = rng.normal(size=x.size) / np.sqrt(x.size)
            sides = np.stack([guess + explore * aside, guess - explore * aside])
            sides *= reach * np.sqrt(x.size) / np.maximum(np.linalg.norm(sides, axis=1, keepdims=True), 1e-9)
            answers = attacker.ask(np.clip(x + sides, 0.0, 1.0))
            if (answers.argmax(axis=1) != label).any():
                break
            guess = 0.9 * guess + learning * (answers[1, label] - answers[0, label]) * aside
            x = np.clip(np.clip(x + step * np.sign(guess), source - limit, source + limit), 0.0, 1.0)


def _network(attacker: Attacker, shape: tuple[int, int, int]) -> Any:
    """The target as ART's black-box network on images [n, channels, height, width] of the unit cube."""
    attacker.art_classifier()
    from art.estimators.classification.blackbox import BlackBoxClassifierNeuralNetwork

    def ask(x: FloatArray) -> FloatArray:
        return attacker.ask(x.reshape(len(x), -1))

    return BlackBoxClassifierNeuralNetwork(ask, shape, attacker.classes, True, (0.0, 1.0))


def simba(attacker: Attacker) -> None:
    """ART's SimBA: one coordinate, or one wave of an image's cosine transform, up or down at a time."""
    side, rng = attacker.recorder.target.dataset.side, attacker.rng
    waves = side > 0 and rng.random() < 0.5
    shape = (1, side, side) if waves else (1, 1, attacker.columns)
    classifier = _network(attacker, shape)
    from art.attacks.evasion import SimBA

    settings = {
        "attack": "dct" if waves else "px",
        "freq_dim": min(side, 4) if waves else 1,
        "epsilon": float(rng.choice([0.05, 0.1, 0.2])),
        "max_iter": int(rng.choice([50, 100, 200])),
        "verbose": False,
    }
    for source in attacker.own_rows()[0]:
        with attacker.seeded_numpy():
            SimBA(classifier, **settings).generate(source.reshape(1, *shape).astype(np.float32))


def square(attacker: Attacker) -> None:
    """Square attack: a square of an image (ART), or a block of a table's columns, moved to the edge of the
    allowed change; kept if it helps."""
    side, rng = attacker.recorder.target.dataset.side, attacker.rng
    reach = float(rng.choice([0.05, 0.1, 0.3]))
    start = float(rng.choice([0.1, 0.3, 0.8]))
    if not side:
        for source in attacker.own_rows()[0]:
            _blocks(attacker, source, reach, start)
        return
    classifier = _network(attacker, (1, side, side))
    from art.attacks.evasion import SquareAttack

    settings = {"eps": reach, "p_init": min(start, 0.7), "max_iter": 100, "verbose": False}
    for source in attacker.own_rows()[0]:
        with attacker.seeded_numpy():
            SquareAttack(classifier, **settings).generate(source.reshape(1, 1, side, side).astype(np.float32))


def _blocks(attacker: Attacker, source: FloatArray, reach: float, start: float, tries: int = 100) -> None:
    rng, d = attacker.rng, source.size
    first = attacker.ask(source[None])[0]
    label = int(first.argmax())
    x = np.clip(source + reach * rng.choice([-1.0, 1.0], d), 0.0, 1.0)
    best = float(attacker.ask(x[None])[0, label])
    for i in range(tries):
        width = max(1, round(d * start / 2 ** (i // 20)))
        at = int(rng.integers(0, d - min(width, d) + 1))
        tried = x.copy()
        tried[at : at + width] = source[at : at + width] + reach * rng.choice([-1.0, 1.0])
        tried = np.clip(tried, 0.0, 1.0)
        answer = attacker.ask(tried[None])[0]
        if answer[label] < best:
            x, best = tried, float(answer[label])
        if answer.argmax() != label:
            return
