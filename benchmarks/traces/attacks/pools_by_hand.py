"""Pools of an extraction that cost nothing: noise like the data, mixtures of own rows, grids, and records
with noise, the last also to tell members."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.by_hand import asking
from benchmarks.traces.attacks.extraction_active import least_sure


def gaussian_inputs(attacker: Attacker) -> None:
    """Draws from a normal distribution fitted to some own rows: each column alone, or all together."""
    rng, ask = attacker.rng, asking(attacker)
    rows = attacker.own_rows()[0][: int(rng.integers(20, 200))]
    together = bool(rng.random() < 0.4)
    middle, spread = rows.mean(axis=0), rows.std(axis=0)
    # Normal weights of the rows themselves give draws with their covariance.
    shape = (rows - middle) / np.sqrt(len(rows)) if together else np.diag(spread)
    batch = int(rng.choice([1, 10, 40]))
    while True:
        ask(middle + rng.normal(size=(batch, len(shape))) @ shape)


def mixtures(attacker: Attacker) -> None:
    """Mix-up (Zhang et al. 2018) of two own rows, or of several."""
    rng, ask = attacker.rng, asking(attacker)
    rows = attacker.own_rows()[0][: int(rng.integers(10, 100))]
    parts = int(rng.choice([2, 2, 3, 5]))
    while True:
        weights = rng.dirichlet(np.ones(parts))
        ask((weights @ rows[rng.choice(len(rows), parts)])[None])


def grids(attacker: Attacker) -> None:
    """One column, or two, over their whole ranges at equal steps, the others at rest."""
    rng, ask = attacker.rng, asking(attacker)
    columns, steps = int(rng.choice([1, 2, 2])), int(rng.choice([5, 11, 21]))
    middle = bool(rng.random() < 0.5)
    rows = attacker.own_rows()[0]
    while True:
        base = np.median(rows, axis=0) if middle else rows[rng.integers(len(rows))]
        chosen = rng.choice(attacker.columns, min(columns, attacker.columns), replace=False)
        axes = np.meshgrid(*[np.linspace(0.0, 1.0, steps)] * len(chosen))
        surface = np.repeat(base[None], axes[0].size, axis=0)
        surface[:, chosen] = np.stack([axis.ravel() for axis in axes], axis=1)
        ask(surface)


def redrawn_columns(attacker: Attacker) -> None:
    """A record, and for each column the record with another value there."""
    rng, ask = attacker.rng, asking(attacker)
    while True:
        base = attacker.own_rows()[0][0]
        ask(base[None])
        changed = np.repeat(base[None], base.size, axis=0)
        np.fill_diagonal(changed, rng.random(base.size))
        ask(changed)


def uncertain_neighbours(attacker: Attacker) -> None:
    """Own rows first; then, of noise round what was asked, what a copy is least sure of."""
    rng, ask = attacker.rng, asking(attacker)
    size, each = float(rng.choice([0.03, 0.08, 0.2])), int(rng.choice([5, 20]))
    known = attacker.own_rows()[0][: int(rng.integers(15, 40))]
    labels = ask(known).argmax(axis=1)
    while True:
        near = known[rng.integers(len(known), size=400)]
        tried = np.clip(near + size * rng.normal(size=near.shape), 0.0, 1.0)
        if len(np.unique(labels)) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a rough copy does
                copy = LogisticRegression(max_iter=300).fit(known, labels)
            tried = tried[least_sure(copy, tried)]
        labels = np.concatenate([labels, ask(tried[:each]).argmax(axis=1)])
        known = np.vstack([known, tried[:each]])


def noise_membership(attacker: Attacker) -> None:
    """Label-only: how much noise a candidate's label bears. Several sizes, some tries of each."""
    rng, ask = attacker.rng, asking(attacker)
    sizes = np.geomspace(0.01, float(rng.choice([0.1, 0.2, 0.4])), int(rng.choice([3, 5])))
    tries = int(rng.choice([2, 4, 8]))
    for x in attacker.candidates():
        ask(x[None])
        for size in sizes:
            ask(x + size * rng.normal(size=(tries, x.size)))
