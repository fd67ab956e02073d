"""Membership inference with ART's label-only attack: the distance of each candidate to the boundary."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker


def label_only_boundary(attacker: Attacker) -> None:
    """One short HopSkipJump run per candidate record, members and non-members mixed."""
    classifier = attacker.art_classifier()
    from art.attacks.inference.membership_inference import LabelOnlyDecisionBoundary

    rng = attacker.rng
    settings = {
        "max_iter": int(rng.integers(1, 4)),
        "init_eval": int(rng.choice([10, 20, 40])),
        "norm": 2 if rng.random() < 0.7 else np.inf,
        "verbose": False,
    }
    # The threshold only decides what the attacker concludes; the queries do not depend on it.
    attack = LabelOnlyDecisionBoundary(classifier, distance_threshold_tau=0.1)
    inside, inside_labels = attacker.members()
    outside, outside_labels = attacker.own_rows()
    for i in range(min(len(inside), len(outside))):
        member = rng.random() < 0.5
        rows, labels = (inside, inside_labels) if member else (outside, outside_labels)
        with attacker.seeded_numpy():
            attack.infer(rows[i : i + 1].astype(np.float32), labels[i : i + 1], **settings)
