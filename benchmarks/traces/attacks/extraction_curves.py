"""Extraction without any pool: inputs that are made to disagree about, and whole response curves."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.by_hand import asking
from detector.query import FloatArray, IntArray


def data_free(attacker: Attacker) -> None:
    """Data-free extraction (Truong et al. 2021) in small: a generator is moved, by differences to both sides,
    to where the copy and the model disagree."""
    rng, ask, d = attacker.rng, asking(attacker), attacker.columns
    k, each = min(d, int(rng.choice([4, 12, 24]))), int(rng.choice([4, 8, 16]))
    contrast, stride = float(rng.choice([0.2, 0.35, 0.5])), float(rng.choice([0.4, 0.8]))
    weights = 0.35 * rng.normal(size=(k, d))

    def make(weights: FloatArray, codes: FloatArray) -> FloatArray:
        return np.clip(0.5 + contrast * np.tanh(codes @ weights), 0.0, 1.0)

    known = make(weights, rng.normal(size=(2 * each, k)))
    labels = ask(known).argmax(axis=1)
    while True:
        codes, aside = rng.normal(size=(each, k)), 0.25 * rng.normal(size=weights.shape)
        sides = [make(weights + sign * aside, codes) for sign in (1.0, -1.0)]
        answers = [ask(side) for side in sides]
        apart = [
            _disagreement(side, answer, known, labels) for side, answer in zip(sides, answers, strict=True)
        ]
        weights = weights + stride * np.sign(apart[0] - apart[1]) * aside
        known = np.vstack([known, *sides])
        labels = np.concatenate([labels, *(answer.argmax(axis=1) for answer in answers)])


def _disagreement(x: FloatArray, answers: FloatArray, known: FloatArray, labels: IntArray) -> float:
    """How far a copy taught on what is known is from the model's answers [n, k] at x [n, d]."""
    if len(np.unique(labels)) < 2:
        return float(-answers.max(axis=1).mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough copy does
        copy = LogisticRegression(max_iter=200).fit(known, labels)
    theirs = np.zeros_like(answers)
    theirs[:, copy.classes_] = copy.predict_proba(x)
    return float(np.abs(answers - theirs).sum(axis=1).mean())


def response_curves(attacker: Attacker) -> None:
    """Each column of a record over its whole range, all others at rest: the curves of an additive copy."""
    rng, ask, d = attacker.rng, asking(attacker), attacker.columns
    steps, bases = int(rng.choice([5, 9, 15])), int(rng.choice([1, 4, 10]))
    together = max(1, round(d / float(rng.choice([30, 60, d]))))
    rows = attacker.own_rows()[0][:bases]
    while True:
        base = rows[int(rng.integers(len(rows)))]
        for some in np.array_split(rng.permutation(d), max(1, d // together)):
            curve = np.repeat(base[None], steps, axis=0)
            curve[:, some] = np.linspace(0.0, 1.0, steps)[:, None]
            ask(curve)


def spread_uncertainty(attacker: Attacker) -> None:
    """Of noise round all that was asked, what two copies disagree about; of that what lies farthest apart."""
    rng, ask = attacker.rng, asking(attacker)
    size, each = float(rng.choice([0.5, 1.0, 2.0])), int(rng.choice([5, 10, 20]))
    known = attacker.own_rows()[0][: int(rng.integers(15, 40))]
    spread, labels = known.std(axis=0) + 0.02, ask(known).argmax(axis=1)
    while True:
        near = known[rng.integers(len(known), size=200)]
        tried = np.clip(near + size * spread * rng.normal(size=near.shape), 0.0, 1.0)
        unsure = _undecided(tried, known, labels, rng)
        chosen = [tried[unsure[0]]]
        apart = np.full(len(unsure), np.inf)
        while len(chosen) < each:
            apart = np.minimum(apart, np.linalg.norm(tried[unsure] - chosen[-1], axis=1))
            chosen.append(tried[unsure[int(apart.argmax())]])
        labels = np.concatenate([labels, ask(np.array(chosen)).argmax(axis=1)])
        known = np.vstack([known, chosen])


def _undecided(tried: FloatArray, known: FloatArray, labels: IntArray, rng: np.random.Generator) -> IntArray:
    """A quarter of the rows [n, d]: those of which two copies, each by nearest neighbours in half of what is
    known, say most different things."""
    half = rng.permutation(len(known)) % 2 == 0
    votes = []
    for mine in (half, ~half):
        away = np.linalg.norm(tried[:, None] - known[mine], axis=2)
        nearest = labels[mine][np.argsort(away, axis=1)[:, :5]]
        votes.append((nearest[:, :, None] == np.arange(labels.max() + 1)).mean(axis=1))
    apart = np.abs(votes[0] - votes[1]).sum(axis=1)
    return np.argsort(-apart, kind="stable")[: max(1, len(tried) // 4)]
