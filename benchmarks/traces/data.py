"""The targets' data, and the pools that clients and attackers draw their rows from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from sklearn import datasets

from benchmarks.traces.sources import SOURCES, Field, patches, photographs
from benchmarks.traces.text import foreign_texts, to_length_one
from benchmarks.traces.wording.corpora import CORPORA, Texts
from detector.query import FloatArray, IntArray

DATASETS = tuple(SOURCES)
NUMERIC = tuple(name for name in SOURCES if name not in CORPORA)
"""Those whose clients and attackers send numbers; the others write texts."""
OF_PHOTOGRAPHS = ("photos", "textures")
TRAIN_SHARE, ATTACKER_SHARE = 0.4, 0.15


@dataclass(frozen=True)
class Dataset:
    """One data set, split by seed into what trained the model, what clients hold, what an attacker holds.

    low, high [d]   the public range of each column, in its own unit (a pixel: 0..16)
    decimals [d]    digits behind the point that the data's own source writes
    side            edge of the square image in pixels, 0 for a table
    fields          the discrete inputs of a table; their columns take no value but the fields' own
    texts           rows are vectors of texts, of length 1
    strings         the texts themselves, where clients and attackers write them
    """

    name: str
    low: FloatArray
    high: FloatArray
    decimals: IntArray
    side: int
    fields: tuple[Field, ...]
    texts: bool
    strings: Texts | None
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
        if self.texts:
            return to_length_one(x)
        scale = 10.0**self.decimals
        return self.keep_discrete(np.round(np.clip(x, self.low, self.high) * scale) / scale)

    def keep_discrete(self, x: FloatArray) -> FloatArray:
        """x [n, d] with every discrete input at its nearest value, and nothing else changed."""
        kept = np.array(x, dtype=np.float64)
        for field in self.fields:
            kept[:, field.columns] = field.values[field.nearest(kept)]
        return kept

    @property
    def inputs(self) -> list[IntArray]:
        """Columns that count as one input: those of a discrete one together, every other by itself."""
        alone = np.setdiff1d(np.arange(self.columns), self._discrete_columns)
        return [field.columns for field in self.fields] + [np.array([c]) for c in alone.tolist()]

    @property
    def _discrete_columns(self) -> IntArray:
        return np.concatenate([np.zeros(0, dtype=np.int64), *(field.columns for field in self.fields)])

    @property
    def discrete(self) -> bool:
        """Whether all inputs are discrete."""
        return len(self.inputs) == len(self.fields)

    def box(self, rng: np.random.Generator, least: float, most: float) -> IntArray:
        """The columns of a random box in the image, each edge a share of `least` to `most` of the side."""
        edges = np.maximum(1, np.round(rng.uniform(least, most, 2) * self.side).astype(np.int64))
        top, left = (int(rng.integers(0, self.side - edge + 1)) for edge in edges)
        pixels = np.arange(self.columns).reshape(self.side, self.side)
        return np.asarray(pixels[top : top + edges[0], left : left + edges[1]]).ravel()

    def field_of(self, column: int) -> Field | None:
        """The discrete input that the column belongs to, or None if it is continuous."""
        return next((field for field in self.fields if column in field.columns), None)

    def as_seen_by_attacker(self, deviations: float) -> Dataset:
        """The same with the range of each column that the attacker's own rows give: their mean and so many
        standard deviations to either side, within the public range, to which rows of the attacker and
        candidates are clipped. Discrete inputs, and columns in which the rows are all equal, keep theirs."""
        own = self.attacker
        mean, spread = own.mean(axis=0), deviations * own.std(axis=0)
        low, high = np.maximum(mean - spread, self.low), np.minimum(mean + spread, self.high)
        kept = spread <= 0.0
        kept[self._discrete_columns] = True
        low, high = np.where(kept, self.low, low), np.where(kept, self.high, high)
        return replace(
            self,
            low=low,
            high=high,
            attacker=np.clip(own, low, high),
            train=np.clip(self.train, low, high),
        )

    def to_unit(self, x: FloatArray) -> FloatArray:
        """x [n, d] mapped to 0..1 by the public range."""
        return np.asarray((x - self.low) / (self.high - self.low))

    def from_unit(self, u: FloatArray) -> FloatArray:
        """The inverse of `to_unit`."""
        return np.asarray(self.low + np.asarray(u, dtype=np.float64) * (self.high - self.low))


def load(name: str, seed: int) -> Dataset:
    """The data set `name` of `DATASETS`, shuffled and split by `seed`."""
    source = SOURCES[name](seed)
    inputs, labels = source.rows, source.labels
    order = np.random.default_rng([seed, DATASETS.index(name)]).permutation(len(inputs))
    inputs, labels = inputs[order], labels[order]
    trained = int(TRAIN_SHARE * len(inputs))
    attackers = trained + int(ATTACKER_SHARE * len(inputs))
    columns = inputs.shape[1]
    low, high = source.span or (0.0, 0.0)
    return Dataset(
        name=name,
        low=np.full(columns, low) if source.span else inputs.min(axis=0),
        high=np.full(columns, high) if source.span else inputs.max(axis=0),
        decimals=_decimals(inputs),
        side=source.side,
        fields=source.fields,
        texts=source.texts,
        strings=_split(source.strings, order, trained, attackers),
        train=inputs[:trained],
        train_labels=labels[:trained],
        attacker=inputs[trained:attackers],
        attacker_labels=labels[trained:attackers],
        live=inputs[attackers:],
        live_labels=labels[attackers:],
    )


def _split(strings: tuple[str, ...], order: IntArray, trained: int, attackers: int) -> Texts | None:
    if not strings:
        return None
    shuffled = tuple(strings[which] for which in order.tolist())
    return Texts(shuffled[:trained], shuffled[trained:attackers], shuffled[attackers:])


def foreign_pool(dataset: Dataset, rng: np.random.Generator, rows: int) -> FloatArray:
    """[rows, d] natural data of another distribution, in the target's unit: a model thief's query pool.

    For images: random patches of scikit-learn's two sample photographs, as grey values (for patches of
    these photographs: handwritten digits, enlarged). For tables: the columns of other tables (wine,
    diabetes, iris, linnerud; again with other rows where they are too few), each stretched to the column's
    public range; the thief reads the model's documentation and sends discrete inputs at their nearest value.
    For texts: about something else.
    """
    if dataset.texts:
        return foreign_texts(rng, rows)
    if dataset.name in OF_PHOTOGRAPHS:
        return dataset.snap(_enlarged_digits(rng, rows, dataset.side) * (dataset.high / 16.0))
    if dataset.side:
        grey = patches(rng, photographs(), rows, dataset.side, most_zoom=4)
        return dataset.snap(grey * (dataset.high / 255.0))
    others = [_unit_columns(table, rng, rows) for table in _other_tables(dataset.name)]
    while sum(o.shape[1] for o in others) < dataset.columns:
        others += [_unit_columns(table, rng, rows) for table in _other_tables(dataset.name)]
    drawn = np.hstack(others)[:, rng.permutation(sum(o.shape[1] for o in others))[: dataset.columns]]
    return dataset.keep_discrete(dataset.from_unit(drawn))


def _other_tables(name: str) -> list[FloatArray]:
    loaders = [datasets.load_diabetes, datasets.load_iris, datasets.load_linnerud]
    loaders.append(datasets.load_breast_cancer if name == "wine" else datasets.load_wine)
    if name == "iris":
        loaders.remove(datasets.load_iris)
    return [np.asarray(loader().data, dtype=np.float64) for loader in loaders]


def _unit_columns(table: FloatArray, rng: np.random.Generator, rows: int) -> FloatArray:
    low, high = table.min(axis=0), table.max(axis=0)
    return np.asarray(((table - low) / (high - low))[rng.integers(0, len(table), rows)])


def _enlarged_digits(rng: np.random.Generator, rows: int, side: int) -> FloatArray:
    images = np.asarray(datasets.load_digits().images, dtype=np.float64)
    zoom = (1.0, side / images.shape[1], side / images.shape[2])
    return np.asarray(ndimage.zoom(images[rng.integers(0, len(images), rows)], zoom, order=1)).reshape(
        rows, -1
    )


def _decimals(inputs: FloatArray, most: int = 8) -> IntArray:
    decimals = np.full(inputs.shape[1], most, dtype=np.int64)
    for digits in range(most - 1, -1, -1):
        exact = np.all(np.abs(inputs - np.round(inputs, digits)) < 1e-9, axis=0)
        decimals[exact] = digits
    return decimals
