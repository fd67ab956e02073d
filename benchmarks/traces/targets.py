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
from benchmarks.traces.text import as_vectors
from benchmarks.traces.wording.corpora import Texts, words_of
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
        picked = self._picked(rng, n, mix)
        rows = self.rows[picked].copy()
        new = rng.random(n) >= REAL_SHARE
        other = self.rows[self._near[picked, rng.integers(0, NEIGHBOURS, n)]]
        blend = rows + rng.uniform(0.1, 0.7, (n, 1)) * (other - rows)
        little = 0.0 if self.dataset.texts else 0.05
        scatter = rng.normal(0.0, little, rows.shape) * self.spread * (rows != 0)
        rows[new] = self.dataset.snap(blend + scatter)[new]
        return np.asarray(rows)

    def _picked(self, rng: np.random.Generator, n: int, mix: FloatArray | None) -> IntArray:
        """Which of the real rows n rows are, or are made of."""
        if mix is None:
            mix = np.bincount(self.labels, minlength=self.dataset.classes) / len(self.labels)
        counts = rng.multinomial(n, mix)
        picked = np.concatenate([self._pick(rng, c, int(count)) for c, count in enumerate(counts)])
        return np.asarray(picked[rng.permutation(n)])

    def _pick(self, rng: np.random.Generator, label: int, count: int) -> IntArray:
        members = self._of_class[label]
        rounds = [rng.permutation(members) for _ in range(count // len(members) + 1)]
        return np.concatenate(rounds)[:count]


class Writers(Population):
    """The same for texts that are written: half of them real, half the beginning of one and the end of
    another of the same class."""

    def __init__(self, dataset: Dataset, strings: Texts) -> None:
        super().__init__(dataset)
        self._strings = [*strings.live, *strings.train[: len(strings.train) // 5]]
        self.vocabulary = words_of(self._strings)

    def texts(self, rng: np.random.Generator, n: int, mix: FloatArray | None = None) -> list[str]:
        """n texts with class shares `mix` [k] (default: those of the data)."""
        picked = self._picked(rng, n, mix).tolist()
        others = rng.integers(0, NEIGHBOURS, n)
        return [
            self._strings[one] if real else self._spliced(rng, one, int(self._near[one, other]))
            for one, other, real in zip(picked, others, rng.random(n) < REAL_SHARE, strict=True)
        ]

    def _spliced(self, rng: np.random.Generator, one: int, other: int) -> str:
        first, second = self._strings[one].split(), self._strings[other].split()
        share = rng.uniform(0.3, 0.7)
        kept, added = first[: max(1, round(share * len(first)))], second[round(share * len(second)) :]
        return " ".join(kept + added)

    def draw(self, rng: np.random.Generator, n: int, mix: FloatArray | None = None) -> FloatArray:
        """Their vectors [n, d]."""
        return as_vectors(self.texts(rng, n, mix))


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
    "messages": ("logistic", "network"),
    "summaries": ("network", "logistic", "forest"),
    "manuals": ("logistic", "network"),
}
"""The kinds of model that a data set may get; seeds take them in turn."""


def train(name: str, seed: int) -> Target:
    """Trains a model for data set `name`, of the kind in `KINDS` that the seed chooses."""
    dataset = load(name, seed)
    model = _untrained(KINDS[name][seed % len(KINDS[name])], seed)
    model.fit(dataset.train, dataset.train_labels)
    strings = dataset.strings
    population = Population(dataset) if strings is None else Writers(dataset, strings)
    return Target(f"{name}-{1 + seed % 7}", dataset, population, model)


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
