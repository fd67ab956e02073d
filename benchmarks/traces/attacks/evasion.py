"""Query-based evasion with ART's own tools: one source row after another, until the budget is spent."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker


def hop_skip_jump(attacker: Attacker) -> None:
    """Decision-based: noise on a sphere round a boundary point, a step, a binary search back (L2 or Linf)."""
    classifier = attacker.art_classifier()
    from art.attacks.evasion import HopSkipJump

    rng = attacker.rng
    settings = {
        "norm": 2 if rng.random() < 0.7 else np.inf,
        "max_iter": int(rng.integers(3, 12)),
        "init_eval": int(rng.choice([20, 50, 100])),
        "verbose": False,
    }
    for source in attacker.own_rows()[0]:
        with attacker.seeded_numpy():
            HopSkipJump(classifier, **settings).generate(source[None].astype(np.float32))


def zoo(attacker: Attacker) -> None:
    """Score-based: symmetric differences x +- h e_i on random coordinates, then Adam."""
    classifier = attacker.art_classifier()
    from art.attacks.evasion import ZooAttack

    rng = attacker.rng
    settings = {
        "learning_rate": float(rng.choice([0.01, 0.05, 0.1])),
        "variable_h": float(rng.choice([0.001, 0.01, 0.05, 0.2])),
        "nb_parallel": int(rng.integers(4, attacker.columns + 1)),
        "max_iter": int(rng.integers(5, 25)),
        "initial_const": float(rng.choice([1.0, 10.0, 100.0])),
        "abort_early": False,
        "verbose": False,
    }
    for source in attacker.own_rows()[0]:
        with attacker.seeded_numpy():
            ZooAttack(classifier, **settings).generate(source[None].astype(np.float32))


def boundary(attacker: Attacker) -> None:
    """Decision-based: a random walk along the boundary, orthogonal steps and steps to the source."""
    classifier = attacker.art_classifier()
    from art.attacks.evasion import BoundaryAttack

    rng = attacker.rng
    settings = {
        "targeted": False,
        "delta": float(rng.choice([0.01, 0.05, 0.1])),
        "epsilon": float(rng.choice([0.01, 0.05, 0.1])),
        "sample_size": int(rng.choice([5, 10, 20])),
        "max_iter": int(rng.integers(10, 60)),
        "verbose": False,
    }
    for source in attacker.own_rows()[0]:
        with attacker.seeded_numpy():
            BoundaryAttack(classifier, **settings).generate(source[None].astype(np.float32))
