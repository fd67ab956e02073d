"""Where the data comes from: packages that are installed anyway, never a download.

From scikit-learn: the UCI test set of handwritten digits (1,797 images of 8x8 grey values 0..16), the
Wisconsin diagnostic breast cancer table (569 rows of 30 measurements), the UCI wine (178 rows of 13) and
iris (150 rows of 4) tables, two photographs, and a generator of synthetic tables; the rest is made here.
From River: the UCI image segmentation table (2,310 rows of 18), the UCI phishing table (1,250 rows of 9
discrete columns) and the UCI solar flare table (1,066 rows of 9 categories). Texts are paragraphs of the
packages' own documentation (`benchmarks/traces/text.py`), and what else they have to say
(`benchmarks/traces/wording/corpora.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn import datasets

from benchmarks.traces.text import as_vectors, texts
from benchmarks.traces.wording.corpora import CORPORA
from detector.query import FloatArray, IntArray

PATCH_SIDE = 12
PATCHES_PER_REGION = 480
TEXTURE_SIDE, TEXTURES_PER_REGION = 28, 400
REGIONS = (
    ("china sky", 0, (330, 0, 640, 180)),
    ("china building", 0, (105, 100, 315, 345)),
    ("china trees", 0, (400, 310, 640, 427)),
    ("flower petals", 1, (205, 115, 425, 325)),
    ("flower leaves", 1, (0, 0, 160, 427)),
)
"""The classes of `photos`: name, photograph, box (left, top, right, bottom) in pixels."""


@dataclass(frozen=True)
class Field:
    """A discrete input: its columns (several for a one-hot code) and all its values [m, columns]."""

    columns: IntArray
    values: FloatArray

    def nearest(self, x: FloatArray) -> IntArray:
        """[n] which of the values is nearest to what rows x [n, d] hold in its columns."""
        away = x[:, None, self.columns] - self.values
        return np.asarray((away**2).sum(axis=2).argmin(axis=1))


@dataclass(frozen=True)
class Source:
    """Rows [n, d] with labels [n] as published; `side` and `fields` as in `Dataset`. The public range is
    `span` for every column, or what the rows show. `texts`: the rows are vectors of texts; `strings`: of
    these."""

    rows: FloatArray
    labels: IntArray
    side: int = 0
    span: tuple[float, float] | None = None
    fields: tuple[Field, ...] = ()
    texts: bool = False
    strings: tuple[str, ...] = ()


def _bunch(bunch: Any, side: int = 0, span: tuple[float, float] | None = None) -> Source:
    rows = np.asarray(bunch.data, dtype=np.float64)
    return Source(rows, np.asarray(bunch.target, dtype=np.int64), side, span)


def _pairs(name: str) -> list[tuple[dict[str, Any], Any]]:
    """A table of River: rows and what is to be told of each."""
    from river import datasets as river

    return list(getattr(river, name)())


def _strings(name: str, seed: int) -> Source:
    strings, labels = CORPORA[name](seed)
    return Source(as_vectors(strings), labels, span=(-1.0, 1.0), texts=True, strings=tuple(strings))


def _river(name: str, most_levels: int, decimals: int) -> Source:
    """A table of River. Columns with at most `most_levels` values are discrete; the published numbers are
    single precision in print, so digits behind `decimals` are noise."""
    pairs = _pairs(name)
    rows = np.array([list(x.values()) for x, _ in pairs], dtype=np.float64)
    rows = np.round(rows, decimals) + 0.0  # no negative zeros
    _, labels = np.unique([str(y) for _, y in pairs], return_inverse=True)
    fields = [
        Field(np.array([column]), levels[:, None])
        for column, levels in enumerate(map(np.unique, rows.T))
        if len(levels) <= most_levels
    ]
    return Source(rows, np.asarray(labels, dtype=np.int64), fields=tuple(fields))


def _segments(_seed: int) -> Source:
    return _river("ImageSegments", most_levels=4, decimals=6)


def _phishing(_seed: int) -> Source:
    return _river("Phishing", most_levels=4, decimals=6)


def _photos(seed: int) -> Source:
    """Grey patches from five regions of the two photographs: which texture is it? A real task: patches lie
    anywhere in their region and are taken at one to three pixels a value, so that neither position nor
    scale gives the class away. Patches of one region may overlap, as frames of one scene do."""
    rng = np.random.default_rng([seed, 4])
    images = photographs()
    rows: list[FloatArray] = []
    for _, photograph, (left, top, right, bottom) in REGIONS:
        region = images[photograph][top:bottom, left:right]
        rows.append(patches(rng, [region], PATCHES_PER_REGION, PATCH_SIDE, most_zoom=3))
    labels = np.repeat(np.arange(len(REGIONS)), PATCHES_PER_REGION)
    return Source(np.asarray(np.round(np.vstack(rows)), dtype=np.float64), labels, PATCH_SIDE, (0.0, 255.0))


def _textures(seed: int) -> Source:
    """The same regions as `photos`, as patches of 28 by 28 values at one or two pixels a value."""
    rng = np.random.default_rng([seed, 6])
    images = photographs()
    rows = [
        patches(
            rng, [images[photograph][top:bottom, left:right]], TEXTURES_PER_REGION, TEXTURE_SIDE, most_zoom=2
        )
        for _, photograph, (left, top, right, bottom) in REGIONS
    ]
    labels = np.repeat(np.arange(len(REGIONS)), TEXTURES_PER_REGION)
    return Source(np.asarray(np.round(np.vstack(rows)), dtype=np.float64), labels, TEXTURE_SIDE, (0.0, 255.0))


def _embeddings(seed: int) -> Source:
    """What an encoder makes of the handwritten digits: a random network of two layers, another one and
    another length for every seed, each vector scaled to length 1."""
    rng = np.random.default_rng([seed, 7])
    digits = datasets.load_digits()
    images = np.asarray(digits.data, dtype=np.float64) / 16.0
    images -= images.mean(axis=0)
    hidden = np.tanh(images @ rng.normal(0, 0.4, (images.shape[1], 256)))
    rows = np.tanh(hidden @ rng.normal(0, 0.15, (256, int(rng.choice([64, 96, 128, 192])))))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Source(
        np.asarray(np.round(rows, 6) + 0.0, dtype=np.float64), np.asarray(digits.target, dtype=np.int64)
    )


def _census(seed: int) -> Source:
    """A made table of people, another one for every seed: five skewed continuous columns and nine
    categories of two to nine unevenly frequent values in one-hot code, all driven by eight hidden traits,
    which also decide the class."""
    rng = np.random.default_rng([seed, 8])
    n = 2500
    traits = rng.normal(size=(n, 8))
    skewed = np.exp(0.7 * (traits @ rng.normal(0, 0.6, (8, 5)) + rng.normal(0, 0.5, (n, 5))))
    parts = [np.round(skewed * 10.0 ** rng.integers(0, 4, 5), 2)]
    fields: list[Field] = []
    first = parts[0].shape[1]
    for _ in range(9):
        levels = int(rng.integers(2, 10))
        leaning = traits @ rng.normal(0, 1.0, (8, levels)) + rng.normal(0, 1.0, levels)
        code = np.argmax(leaning + rng.gumbel(size=(n, levels)), axis=1)
        fields.append(Field(np.arange(first, first + levels), np.eye(levels)))
        parts.append(np.eye(levels)[code])
        first += levels
    classes = int(rng.integers(2, 4))
    votes = np.tanh(traits @ rng.normal(0, 1.0, (8, 6))) @ rng.normal(0, 1.5, (6, classes))
    labels = np.argmax(votes + rng.gumbel(size=votes.shape), axis=1)
    return Source(np.hstack(parts), labels.astype(np.int64), fields=tuple(fields))


def _flares(_seed: int) -> Source:
    """Groups of sunspots and whether one flared within a day: three lettered classes in one-hot code, and
    six codes of 1 to 3. A tenth column, which never varies, is left out."""
    pairs = _pairs("SolarFlare")
    parts: list[FloatArray] = []
    fields: list[Field] = []
    first = 0
    for name in list(pairs[0][0])[:-1]:
        levels, code = np.unique([str(x[name]) for x, _ in pairs], return_inverse=True)
        values = np.eye(len(levels)) if levels[0].isalpha() else levels.astype(np.float64)[:, None]
        fields.append(Field(np.arange(first, first + values.shape[1]), values))
        parts.append(values[code])
        first += values.shape[1]
    labels = np.array([any(y.values()) for _, y in pairs], dtype=np.int64)
    return Source(np.hstack(parts), labels, fields=tuple(fields))


def _survey(seed: int) -> Source:
    """A made questionnaire, another one for every seed: 8 to 20 answers on scales of two to seven steps,
    which lean on a few hidden attitudes; these decide the class too."""
    rng = np.random.default_rng([seed, 10])
    n, d, classes = 2500, int(rng.integers(8, 21)), int(rng.integers(2, 4))
    attitudes = rng.normal(size=(n, int(rng.integers(2, 5))))
    leaning = attitudes @ rng.normal(0, 1.0, (attitudes.shape[1], d)) + rng.normal(0, 0.7, (n, d))
    columns: list[FloatArray] = []
    for answer in leaning.T:
        cuts = np.quantile(answer, np.sort(rng.uniform(0.05, 0.95, int(rng.integers(1, 7)))))
        columns.append(np.searchsorted(cuts, answer) + 1.0)
    rows = np.column_stack(columns)
    fields = tuple(Field(np.array([j]), np.unique(column)[:, None]) for j, column in enumerate(rows.T))
    votes = attitudes @ rng.normal(0, 1.5, (attitudes.shape[1], classes))
    labels = np.argmax(votes + rng.gumbel(size=votes.shape), axis=1)
    return Source(rows, labels.astype(np.int64), fields=fields)


def _gauges(seed: int) -> Source:
    """A made table of five to eight instruments, another one for every seed, each in a unit of its own."""
    rng = np.random.default_rng([seed, 9])
    d = int(rng.integers(5, 9))
    raw, labels = datasets.make_classification(
        n_samples=2000,
        n_features=d,
        n_informative=d - 1,
        n_redundant=1,
        n_classes=3,
        n_clusters_per_class=1,
        class_sep=1.0,
        flip_y=0.02,
        random_state=seed,
    )
    rows = np.round(raw * 10.0 ** rng.uniform(-1, 3, d) + np.round(rng.uniform(-100, 100, d)), 3) + 0.0
    return Source(rows, np.asarray(labels, dtype=np.int64))


def _synthetic(seed: int) -> Source:
    """A made table, another one for every seed: 20 continuous columns, each in a unit of its own, a yes or
    no, a count of 0 to 5, and two categories in one-hot code, of 3 and 4 values. The discrete columns are
    quantised from informative ones; two to four classes."""
    rng = np.random.default_rng([seed, 5])
    raw, labels = datasets.make_classification(
        n_samples=2000,
        n_features=24,
        n_informative=10,
        n_redundant=4,
        n_classes=int(rng.integers(2, 5)),
        n_clusters_per_class=2,
        class_sep=1.2,
        flip_y=0.03,
        random_state=seed,
    )
    continuous = raw[:, :20] * 10.0 ** rng.uniform(-1, 3, 20) + np.round(rng.uniform(-100, 100, 20))
    parts = [np.round(continuous, 3) + 0.0]
    fields: list[Field] = []
    first = 20
    for column, levels, one_hot in ((20, 2, False), (21, 6, False), (22, 3, True), (23, 4, True)):
        cuts = np.quantile(raw[:, column], np.sort(rng.uniform(0.05, 0.95, levels - 1)))
        code = np.searchsorted(cuts, raw[:, column])
        values = np.eye(levels) if one_hot else np.arange(levels, dtype=np.float64)[:, None]
        fields.append(Field(np.arange(first, first + values.shape[1]), values))
        parts.append(values[code])
        first += values.shape[1]
    return Source(np.hstack(parts), np.asarray(labels, dtype=np.int64), fields=tuple(fields))


SOURCES: dict[str, Callable[[int], Source]] = {
    "digits": lambda _: _bunch(datasets.load_digits(), 8, (0.0, 16.0)),
    "cancer": lambda _: _bunch(datasets.load_breast_cancer()),
    "wine": lambda _: _bunch(datasets.load_wine()),
    "segments": _segments,
    "phishing": _phishing,
    "photos": _photos,
    "synthetic": _synthetic,
    "iris": lambda _: _bunch(datasets.load_iris()),
    "text": lambda seed: Source(*texts(seed), span=(-1.0, 1.0), texts=True),
    "textures": _textures,
    "embeddings": _embeddings,
    "census": _census,
    "gauges": _gauges,
    "flares": _flares,
    "survey": _survey,
} | {name: partial(_strings, name) for name in CORPORA}
"""Every data set by name, as a function of the deployment's seed."""


def photographs() -> list[FloatArray]:
    """scikit-learn's two sample photographs as grey values [427, 640], 0..255."""
    return [
        np.asarray(image, dtype=np.float64).mean(axis=2) for image in datasets.load_sample_images().images
    ]


def patches(
    rng: np.random.Generator, images: list[FloatArray], rows: int, side: int, most_zoom: int
) -> FloatArray:
    """[rows, side * side] square patches at random places of random images, each value the mean of 1 to
    `most_zoom` pixels squared."""
    cut = np.empty((rows, side * side))
    for row in range(rows):
        image = images[rng.integers(len(images))]
        zoom = int(rng.integers(1, most_zoom + 1))
        top, left = (int(rng.integers(0, edge - side * zoom)) for edge in image.shape)
        block = image[top : top + side * zoom, left : left + side * zoom]
        cut[row] = block.reshape(side, zoom, side, zoom).mean(axis=(1, 3)).ravel()
    return cut
