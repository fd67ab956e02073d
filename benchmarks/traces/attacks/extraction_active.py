"""Extraction from a natural pool by active learning: the copy chooses what to ask next."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.data import foreign_pool
from detector.query import FloatArray, IntArray


def active_thief_foreign(attacker: Attacker) -> None:
    """ActiveThief with natural data of another distribution."""
    dataset = attacker.recorder.target.dataset
    _active(attacker, dataset.to_unit(foreign_pool(dataset, attacker.rng, 6 * attacker.budget)))


def active_thief_held_out(attacker: Attacker) -> None:
    """ActiveThief with rows of the target's own distribution: ordinary inputs, oddly chosen."""
    target = attacker.recorder.target
    pool = target.population.draw(attacker.rng, 6 * attacker.budget)
    _active(attacker, target.dataset.to_unit(pool))


def _active(attacker: Attacker, pool: FloatArray) -> None:
    """A random tenth first; then, round by round, the rows that the copy is least sure of, or that are
    farthest from all that was asked (k-centre)."""
    rng = attacker.rng
    central = rng.random() < 0.3
    each = max(5, attacker.budget // 10)
    left = rng.permutation(len(pool))
    asked, left = left[:each], left[each:]
    labels = attacker.ask(pool[asked]).argmax(axis=1)
    while left.size:
        if central or len(np.unique(labels)) < 2:
            chosen = _k_centre(pool, asked, left, each)
        else:
            copy = LogisticRegression(max_iter=500).fit(pool[asked], labels)
            chosen = left[least_sure(copy, pool[left])[:each]]
        labels = np.concatenate([labels, attacker.ask(pool[chosen]).argmax(axis=1)])
        asked = np.concatenate([asked, chosen])
        left = np.setdiff1d(left, chosen)


def least_sure(copy: LogisticRegression, rows: FloatArray) -> IntArray:
    """The rows [n, d] by how near the copy's two likeliest classes are, the nearest first [n]."""
    sure = np.sort(copy.predict_proba(rows), axis=1)
    return np.argsort(sure[:, -1] - sure[:, -2], kind="stable")


def _k_centre(pool: FloatArray, asked: IntArray, left: IntArray, count: int) -> IntArray:
    near = np.full(len(left), np.inf)
    for centre in pool[asked]:
        near = np.minimum(near, np.linalg.norm(pool[left] - centre, axis=1))
    chosen = []
    for _ in range(min(count, len(left))):
        chosen.append(int(near.argmax()))
        near = np.minimum(near, np.linalg.norm(pool[left] - pool[left[chosen[-1]]], axis=1))
    return left[chosen]
