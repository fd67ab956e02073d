"""Extraction that solves for the model: linear equations, search along lines, paths through a tree."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from detector.query import FloatArray


def equation_solving(attacker: Attacker) -> None:
    """The log-odds of a logistic regression are linear: d + 1 queries solve it, a few more check it. Where
    the check fails the model is another one, and least squares over twice as many queries are tried."""
    rng, d = attacker.rng, attacker.columns
    kind = str(rng.choice(["uniform", "near", "axes"]))
    base = attacker.own_rows()[0][0]
    size = float(rng.choice([0.05, 0.2]))
    asked, answered = np.empty((0, d)), np.empty((0, attacker.classes))
    count = d + 1

    def fresh(n: int) -> FloatArray:
        if kind == "uniform":
            return np.asarray(rng.random((n, d)))
        if kind == "axes" and not len(asked):
            # Each column of one row in turn, up or down, whichever stays in range.
            return np.asarray(np.vstack([base, base + np.diag(np.where(base > 0.5, -size, size))]))
        return np.asarray(np.clip(base + size * (rng.random((n, d)) - 0.5), 0.0, 1.0))

    while True:
        rows = fresh(count)
        asked = np.vstack([asked, rows])
        answered = np.vstack([answered, _log_odds(attacker.ask(rows))])
        design = np.hstack([asked, np.ones((len(asked), 1))])
        solution = np.linalg.lstsq(design, answered, rcond=None)[0]
        check = fresh(8)
        truth = _log_odds(attacker.ask(check))
        wrong = np.abs(np.hstack([check, np.ones((8, 1))]) @ solution - truth)
        if wrong.max() < 0.01 * max(1.0, float(np.abs(truth).max())):
            return
        count = len(asked)


def _log_odds(answers: FloatArray) -> FloatArray:
    log = np.log(np.clip(answers, 1e-15, 1.0))
    return np.asarray(log - log.mean(axis=1, keepdims=True))


def line_search(attacker: Attacker) -> None:
    """Lowd and Meek: a point on the boundary by bisection between rows of two classes, then along every
    coordinate to the boundary again; labels only. Then the next pair."""
    rng = attacker.rng
    tolerance = float(rng.choice([0.001, 0.005, 0.02]))
    rows = attacker.own_rows()[0]
    while True:
        one, other = rows[rng.choice(len(rows), 2, replace=False)]
        labels = attacker.ask(np.stack([one, other])).argmax(axis=1)
        if labels[0] == labels[1]:
            continue
        label = int(labels[0])
        edge = _bisect(attacker, one, other, label, tolerance)
        for column in rng.permutation(attacker.columns):
            for far in (0.0, 1.0):
                end = edge.copy()
                end[column] = far
                if attacker.ask(end[None])[0].argmax() != label:
                    _bisect(attacker, edge, end, label, tolerance)
                    break


def _bisect(
    attacker: Attacker, inside: FloatArray, outside: FloatArray, label: int, tolerance: float
) -> FloatArray:
    """The last point before the boundary on the way from `inside`, of class `label`, to `outside`."""
    while np.abs(outside - inside).max() > tolerance:
        middle = (inside + outside) / 2
        if attacker.ask(middle[None])[0].argmax() == label:
            inside = middle
        else:
            outside = middle
    return inside


def tree_paths(attacker: Attacker) -> None:
    """Tramer et al.: equal confidences are taken for the same leaf; from a record, each column is moved to
    its ends and bisected to the threshold where the leaf changes; new leaves are visited in turn."""
    rng, dataset = attacker.rng, attacker.recorder.target.dataset
    tolerance = float(rng.choice([0.01, 0.03]))
    while True:
        waiting = [attacker.own_rows()[0][0]]
        seen: set[bytes] = set()
        while waiting and len(seen) < 40:
            x = waiting.pop(0)
            leaf = _leaf(attacker, x)
            if leaf in seen:
                continue
            seen.add(leaf)
            for column in range(attacker.columns):
                if field := dataset.field_of(column):
                    low, high = dataset.low[field.columns], dataset.high[field.columns]
                    tried = np.repeat(x[None], len(field.values), axis=0)
                    tried[:, field.columns] = (field.values - low) / (high - low)
                    waiting += [t for t in tried if _leaf(attacker, t) not in seen | {leaf}]
                    continue
                for end in (0.0, 1.0):
                    moved = x.copy()
                    moved[column] = end
                    if end != x[column] and _leaf(attacker, moved) != leaf:
                        waiting.append(_threshold(attacker, x, moved, leaf, tolerance))


def _leaf(attacker: Attacker, x: FloatArray) -> bytes:
    return bytes(np.round(attacker.ask(x[None])[0], 6))


def _threshold(
    attacker: Attacker, inside: FloatArray, outside: FloatArray, leaf: bytes, tolerance: float
) -> FloatArray:
    while np.abs(outside - inside).max() > tolerance:
        middle = (inside + outside) / 2
        if _leaf(attacker, middle) == leaf:
            inside = middle
        else:
            outside = middle
    return outside
