"""The models under watch, trained for real, and the population of inputs that their clients send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from benchmarks.traces.data import Dataset, load
from detector.query import FloatArray, IntArray

NEIGHBOURS = 5
REAL_SHARE = 0.5


class Population:
    """What honest clients hold: real rows the model never saw (and a fifth of those it did), and new rows
    like them.

    The data sets are small, and thousands of sessions would send the same few hundred rows over and
    over. So half of the rows drawn are real and half are new: a point between a real row and one of its
    five nearest neighbours of the same class (SMOTE), with a little scatter, written with the data's
    own decimals. Of texts: parts of both, pasted together.
    """

    def __init__(self, dataset: Dataset) -> None:
        fifth = len(dataset.train) // 5
        self.dataset = dataset
        self.rows = np.vstack([dataset.live, dataset.train[:fifth]])
        self.labels: IntArray = np.concatenate([dataset.live_labels, dataset.train_labels[:fifth]])
        self.spread: FloatArray = self.rows.std(axis=0)
        self._of_class = [np.flatnonzero(self.labels == c) for c in range(dataset.classes)]
        self._near = np.zeros((len(self.rows), NEIGHBOURS), dtype=np.int64)
        unit = dataset.to_unit(self.rows)
        for members in self._of_class:
            finder = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(unit[members])
            self._near[members] = members[finder.kneighbors(unit[members], return_distance=False)[:, 1:]]

    def draw(self, rng: np.random.Generator, n: int, mix: FloatArray | None = None) -> FloatArray:
        """n rows [n, d] with class shares `mix` [k] (default: those of the data)."""
        if mix is None:
            mix = np.bincount(self.labels, minlength=self.dataset.classes) / len(self.labels)
        counts = rng.multinomial(n, mix)
        picked = np.concatenate([self._pick(rng, c, int(count)) for c, count in enumerate(counts)])
        picked = picked[rng.permutation(n)]
        rows = self.rows[picked].copy()
        new = rng.random(n) >= REAL_SHARE
        other = self.rows[self._near[picked, rng.integers(0, NEIGHBOURS, n)]]
        blend = rows + rng.uniform(0.1, 0.7, (n, 1)) * (other - rows)
        little = 0.0 if self.dataset.texts else 0.05
        scatter = rng.normal(0.0, little, rows.shape) * self.spread * (rows != 0)
        rows[new] = self.dataset.snap(blend + scatter)[new]
        return np.asarray(rows)

    def _pick(self, rng: np.random.Generator, label: int, count: int) -> IntArray:
        members = self._of_class[label]
        rounds = [rng.permutation(members) for _ in range(count // len(members) + 1)]
        return np.concatenate(rounds)[:count]


@dataclass(frozen=True)
class Target:
    """One deployed model: what its clients call."""

    model_id: str
    dataset: Dataset
    population: Population
    model: Any

    def predict(self, x: FloatArray) -> FloatArray:
        """Class probabilities [n, k] of raw inputs x [n, d]."""
        return np.asarray(self.model.predict_proba(x), dtype=np.float64)


KINDS: dict[str, tuple[str, ...]] = {
    "digits": ("network",),
    "cancer": ("logistic",),
    "wine": ("forest",),
    "segments": ("boosting", "forest", "network"),
    "phishing": ("forest", "logistic", "boosting"),
    "photos": ("network",),
    "synthetic": ("network", "boosting", "logistic"),
    "iris": ("logistic",),
    "text": ("logistic", "network"),
    "textures": ("network",),
    "embeddings": ("logistic", "network"),
    "census": ("boosting", "logistic", "forest", "network"),
    "gauges": ("network", "forest", "boosting"),
    "flares": ("logistic", "boosting", "forest"),
    "survey": ("forest", "boosting", "network", "logistic"),
}
"""The kinds of model that a data set may get; seeds take them in turn."""


def train(name: str, seed: int) -> Target:
    """Trains a model for data set `name`, of the kind in `KINDS` that the seed chooses."""
    dataset = load(name, seed)
    model = _untrained(KINDS[name][seed % len(KINDS[name])], seed)
    model.fit(dataset.train, dataset.train_labels)
    return Target(f"{name}-{1 + seed % 7}", dataset, Population(dataset), model)


def _untrained(kind: str, seed: int) -> Any:
    if kind == "network":
        network = MLPClassifier(
            (48,), alpha=1e-2, learning_rate_init=0.01, tol=1e-3, max_iter=2000, random_state=seed
        )
        return make_pipeline(MinMaxScaler(), network)
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
    if kind == "boosting":
        return HistGradientBoostingClassifier(max_iter=60, learning_rate=0.15, random_state=seed)
    return RandomForestClassifier(n_estimators=40, min_samples_leaf=2, random_state=seed)
