"""Model extraction: label a pool with the target's answers and train a copy on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, SGDClassifier

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.data import foreign_pool
from detector.query import FloatArray, IntArray


class Thief:
    """The copy that KnockoffNets trains: a linear model behind the `fit` signature that ART calls."""

    def __init__(self, classes: int) -> None:
        self.classes_ = np.arange(classes)
        self._model = SGDClassifier(loss="log_loss", random_state=0)

    def fit(self, x: FloatArray, y: IntArray, **_training: Any) -> Thief:
        """Learns (x, y) on top of what it knows; batch sizes and epochs do not apply to it."""
        self._model.partial_fit(x, y, classes=self.classes_)
        return self

    def predict_proba(self, x: FloatArray) -> FloatArray:
        """Class probabilities [n, k]."""
        return np.asarray(self._model.predict_proba(x))


def knockoff_foreign(attacker: Attacker) -> None:
    """KnockoffNets with natural data of another distribution."""
    dataset = attacker.recorder.target.dataset
    pool = foreign_pool(dataset, attacker.rng, 4 * attacker.budget)
    _knockoff(attacker, dataset.to_unit(pool))


def knockoff_held_out(attacker: Attacker) -> None:
    """KnockoffNets with rows of the target's own distribution: each query looks like an honest client's."""
    target = attacker.recorder.target
    pool = target.population.draw(attacker.rng, 2 * attacker.budget)
    _knockoff(attacker, target.dataset.to_unit(pool))


def _knockoff(attacker: Attacker, pool: FloatArray) -> None:
    victim = attacker.art_classifier()
    from art.attacks.extraction import KnockoffNets
    from art.estimators.classification.scikitlearn import ScikitlearnClassifier

    batch = int(attacker.rng.choice([1, 10, 50]))
    with attacker.seeded_numpy():
        copy = ScikitlearnClassifier(Thief(attacker.classes), clip_values=(0.0, 1.0))
        attack = KnockoffNets(
            victim, batch_size_query=batch, nb_epochs=1, nb_stolen=attacker.budget, verbose=False
        )
        attack.extract(pool, thieved_classifier=copy)


def jacobian_augmentation(attacker: Attacker, rounds: int = 8) -> None:
    """JBDA: label a few seeds, train a copy, step each along the sign of the copy's gradient, repeat."""
    rng = attacker.rng
    step = float(rng.choice([0.05, 0.1, 0.2]))
    known = attacker.own_rows()[0][: int(rng.integers(20, 60))]
    labels = attacker.ask(known).argmax(axis=1)
    for _ in range(rounds):
        fresh = known + step * rng.normal(size=known.shape)
        if len(np.unique(labels)) > 1:
            copy = LogisticRegression(max_iter=2000).fit(known, labels)
            weights = np.asarray(copy.coef_)
            position = np.searchsorted(copy.classes_, labels)
            rows = weights[position] if len(weights) > 1 else np.where(labels[:, None] > 0, 1, -1) * weights
            fresh = known + step * np.sign(rows)
        fresh = np.clip(fresh, 0.0, 1.0)
        labels = np.concatenate([labels, attacker.ask(fresh).argmax(axis=1)])
        known = np.vstack([known, fresh])


def random_inputs(attacker: Attacker) -> None:
    """Uniform random inputs, labelled and learned from."""
    while True:
        attacker.ask(attacker.rng.random((int(attacker.rng.integers(1, 40)), attacker.columns)))
