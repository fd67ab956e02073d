"""Membership inference: by distance to the boundary, by augmentation, by confidences alone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from benchmarks.traces.attacks.attacker import Attacker
from detector.query import FloatArray


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


def augmentation(attacker: Attacker) -> None:
    """Label-only: members keep their label under small changes. Candidate after candidate: images shifted
    and turned, tables with noise."""
    rng, side = attacker.rng, attacker.recorder.target.dataset.side
    variants = int(rng.choice([8, 12, 20]))
    size = float(rng.choice([0.01, 0.03, 0.1]))
    for x in attacker.candidates():
        if side:
            tried = np.array([_moved(x.reshape(side, side), rng) for _ in range(variants)])
        else:
            tried = x + size * rng.normal(size=(variants, x.size))
        attacker.ask(np.clip(np.vstack([x[None], tried]), 0.0, 1.0))


def _moved(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    turned = ndimage.rotate(image, rng.uniform(-15, 15), reshape=False, order=1)
    shifted = ndimage.shift(turned, rng.integers(-1, 2, 2), order=0)
    return np.asarray(shifted, dtype=np.float64).ravel()


def scores(attacker: Attacker) -> None:
    """ART's black-box attack on confidences: one query a record. It learns from records whose membership
    the attacker knows, then tells others apart: every query is an ordinary row."""
    classifier = attacker.art_classifier(natural=True)
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox

    rng = attacker.rng
    inside, inside_labels = attacker.members()
    outside, outside_labels = attacker.own_rows()
    known = min(attacker.budget // 4, len(inside) // 3, len(outside) // 3)
    batch = int(rng.choice([1, 5, 20]))
    attack = MembershipInferenceBlackBox(classifier, attack_model_type="lr")
    with attacker.seeded_numpy():
        attack.fit(inside[:known], inside_labels[:known], outside[:known], outside_labels[:known])
    rows, labels = (
        np.vstack([inside[known:], outside[known:]]),
        np.r_[inside_labels[known:], outside_labels[known:]],
    )
    order = rng.permutation(len(rows))
    for first in range(0, len(rows), batch):
        mine = order[first : first + batch]
        attack.infer(rows[mine], labels[mine])
