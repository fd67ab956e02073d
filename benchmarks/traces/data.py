"""The real data behind the targets, and the pools that clients and attackers draw their rows from.

Everything comes out of scikit-learn's own package (no download): the UCI test set of handwritten
digits (1,797 images of 8x8 grey values 0..16), the Wisconsin diagnostic breast cancer table (569 rows
of 30 measurements), the UCI wine table (178 rows of 13), and two photographs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import datasets

from detector.query import FloatArray, IntArray

DATASETS = ("digits", "cancer", "wine")
TRAIN_SHARE, ATTACKER_SHARE = 0.4, 0.15


@dataclass(frozen=True)
class Dataset:
    """One data set, split by seed into what trained the model, what clients hold, what an attacker holds.

    low, high [d]   the public range of each column, in its own unit (a pixel: 0..16)
    decimals [d]    digits behind the point that the data's own source writes
    side            edge of the square image in pixels, 0 for a table
    """

    name: str
    low: FloatArray
    high: FloatArray
    decimals: IntArray
    side: int
    train: FloatArray
    train_labels: IntArray
    live: FloatArray
    live_labels: IntArray
    attacker: FloatArray
    attacker_labels: IntArray

    @property
    def columns(self) -> int:
        return int(self.low.size)

    @property
    def classes(self) -> int:
        return int(self.train_labels.max()) + 1

    def snap(self, x: FloatArray) -> FloatArray:
        """x [n, d] as the data's own source would write it: within range, rounded to its decimals."""
        scale = 10.0**self.decimals
        return np.asarray(np.round(np.clip(x, self.low, self.high) * scale) / scale)

    def to_unit(self, x: FloatArray) -> FloatArray:
        """x [n, d] mapped to 0..1 by the public range."""
        return np.asarray((x - self.low) / (self.high - self.low))

    def from_unit(self, u: FloatArray) -> FloatArray:
        """The inverse of `to_unit`."""
        return np.asarray(self.low + np.asarray(u, dtype=np.float64) * (self.high - self.low))


def load(name: str, seed: int) -> Dataset:
    """The data set `name` of `DATASETS`, shuffled and split by `seed`."""
    source = {
        "digits": datasets.load_digits,
        "cancer": datasets.load_breast_cancer,
        "wine": datasets.load_wine,
    }
    bunch = source[name]()
    inputs = np.asarray(bunch.data, dtype=np.float64)
    labels = np.asarray(bunch.target, dtype=np.int64)
    order = np.random.default_rng([seed, DATASETS.index(name)]).permutation(len(inputs))
    inputs, labels = inputs[order], labels[order]
    trained = int(TRAIN_SHARE * len(inputs))
    attackers = trained + int(ATTACKER_SHARE * len(inputs))
    image = name == "digits"
    return Dataset(
        name=name,
        low=np.zeros(inputs.shape[1]) if image else inputs.min(axis=0),
        high=np.full(inputs.shape[1], 16.0) if image else inputs.max(axis=0),
        decimals=_decimals(inputs),
        side=8 if image else 0,
        train=inputs[:trained],
        train_labels=labels[:trained],
        attacker=inputs[trained:attackers],
        attacker_labels=labels[trained:attackers],
        live=inputs[attackers:],
        live_labels=labels[attackers:],
    )


def foreign_pool(dataset: Dataset, rng: np.random.Generator, rows: int) -> FloatArray:
    """[rows, d] natural data of another distribution, in the target's unit: a model thief's query pool.

    For images: random patches of scikit-learn's two sample photographs, as grey values. For tables: the
    columns of other tables (wine, diabetes, iris, linnerud), each stretched to the column's public range.
    """
    if dataset.side:
        return dataset.snap(_patches(rng, rows, dataset.side))
    others = [_unit_columns(table, rng, rows) for table in _other_tables(dataset.name)]
    return dataset.from_unit(
        np.hstack(others)[:, rng.permutation(sum(o.shape[1] for o in others))[: dataset.columns]]
    )


def _other_tables(name: str) -> list[FloatArray]:
    loaders = [datasets.load_diabetes, datasets.load_iris, datasets.load_linnerud]
    loaders.append(datasets.load_breast_cancer if name == "wine" else datasets.load_wine)
    return [np.asarray(loader().data, dtype=np.float64) for loader in loaders]


def _unit_columns(table: FloatArray, rng: np.random.Generator, rows: int) -> FloatArray:
    low, high = table.min(axis=0), table.max(axis=0)
    return np.asarray(((table - low) / (high - low))[rng.integers(0, len(table), rows)])


def _patches(rng: np.random.Generator, rows: int, side: int) -> FloatArray:
    images = [
        np.asarray(image, dtype=np.float64).mean(axis=2) for image in datasets.load_sample_images().images
    ]
    patches = np.empty((rows, side * side))
    for row in range(rows):
        image = images[rng.integers(len(images))]
        zoom = int(rng.integers(1, 5))
        top, left = (int(rng.integers(0, edge - side * zoom)) for edge in image.shape)
        block = image[top : top + side * zoom, left : left + side * zoom]
        patches[row] = block.reshape(side, zoom, side, zoom).mean(axis=(1, 3)).ravel()
    return patches * (16.0 / 255.0)


def _decimals(inputs: FloatArray, most: int = 8) -> IntArray:
    decimals = np.full(inputs.shape[1], most, dtype=np.int64)
    for digits in range(most - 1, -1, -1):
        exact = np.all(np.abs(inputs - np.round(inputs, digits)) < 1e-9, axis=0)
        decimals[exact] = digits
    return decimals
