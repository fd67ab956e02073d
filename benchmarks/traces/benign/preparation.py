"""Rows that are prepared otherwise than those that the model was made with."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from benchmarks.traces.benign.client import Client
from benchmarks.traces.benign.edits import other_values
from benchmarks.traces.data import Dataset
from benchmarks.traces.text import WORD, foreign_texts, some_words, to_length_one
from detector.query import FloatArray

WHITE = 16.0
"""The grey value that noise and brightness below are given for; other ranges are in proportion."""


def augmentation(client: Client, n: int) -> FloatArray:
    """Test-time augmentation: each input with some variants. Images shifted, turned or noised (fractions
    stay, in half of the clients); tables within measurement error, tables of discrete inputs alone with
    one of them changed; texts with some words more."""
    rng, dataset = client.rng, client.population.dataset
    variants = int(rng.integers(3, 11))
    bases = np.repeat(client.rows(n // variants + 1), variants, axis=0)[:n]
    first = np.arange(n) % variants == 0
    if dataset.texts:
        more = sum(some_words(rng, n) for _ in range(int(rng.integers(1, 6))))
        return np.where(first[:, None], bases, to_length_one(bases + WORD * more))
    if dataset.columns == len(dataset.fields):
        return np.array(
            [x if f else _one_changed(x, dataset, rng) for x, f in zip(bases, first, strict=True)]
        )
    if not dataset.side:
        noised = bases * (1.0 + rng.normal(0, rng.choice([0.003, 0.01, 0.03]), bases.shape))
        return np.where(first[:, None], bases, dataset.snap(noised))
    how = str(rng.choice(["shift", "turn", "noise"]))
    fractions = rng.random() < 0.5
    sent = np.array([x if f else _varied(x, how, dataset, rng) for x, f in zip(bases, first, strict=True)])
    return np.clip(sent if fractions else np.round(sent), dataset.low, dataset.high)


def _one_changed(x: FloatArray, dataset: Dataset, rng: np.random.Generator) -> FloatArray:
    changed = x.copy()
    field = dataset.fields[int(rng.integers(len(dataset.fields)))]
    changed[field.columns] = rng.choice(other_values(field, x, rng))
    return changed


def _varied(x: FloatArray, how: str, dataset: Dataset, rng: np.random.Generator) -> FloatArray:
    image = x.reshape(dataset.side, dataset.side)
    if how == "shift":
        image = ndimage.shift(image, rng.integers(-1, 2, 2), order=0)
    elif how == "turn":
        image = ndimage.rotate(image, rng.uniform(-15, 15), reshape=False, order=1)
    else:
        image = image + rng.normal(0, 0.6, image.shape) * (dataset.high[0] / WHITE)
    return np.asarray(image, dtype=np.float64).ravel()


def new_population(client: Client, n: int) -> FloatArray:
    """Users unlike those the model was made for: another pen or scanner, another laboratory's calibration,
    other frequencies of categories; texts that are also about something else."""
    rng, dataset = client.rng, client.population.dataset
    rows = client.rows(n)
    if dataset.texts:
        return to_length_one(rows + rng.uniform(0.2, 0.8) * foreign_texts(rng, n))
    if dataset.side:
        brighter = rng.uniform(0.55, 1.3), rng.uniform(0.0, 2.0) * (dataset.high[0] / WHITE)
        return dataset.snap(rows * brighter[0] + brighter[1])
    shift = rng.normal(0, 0.3, dataset.columns) * client.population.spread
    moved = rows * rng.uniform(0.95, 1.1, dataset.columns) + shift
    for field in dataset.fields:
        theirs = np.flatnonzero(rng.random(n) < rng.uniform(0.0, 0.6))
        moved[np.ix_(theirs, field.columns)] = rng.choice(field.values)
    return dataset.snap(moved)


def two_arms(client: Client, n: int) -> FloatArray:
    """An A/B comparison: each row twice, one after the other or page by page, the second prepared a little
    otherwise: in another scale (by two per mille to five per cent), in coarser steps, or with one input
    derived otherwise (a discrete one: one of its values taken for another). Fractions stay in half of the
    clients; what is lost in the rounding is sent twice. Texts: with a few words more or less, always the
    same."""
    rng = client.rng
    first = client.rows(-(-n // 2))
    second = _of_other_arm(client, first)
    page = np.arange(len(first)) // int(rng.choice([1, 1, 1, 10, 50]))
    order = np.argsort(np.concatenate([2 * page, 2 * page + 1]), kind="stable")
    return np.vstack([first, second])[order][:n]


def _of_other_arm(client: Client, rows: FloatArray) -> FloatArray:
    rng, dataset = client.rng, client.population.dataset
    if dataset.texts:
        return with_or_without(rows, rng)
    factor = 1.0 + rng.choice([-1.0, 1.0]) * np.exp(rng.uniform(np.log(0.002), np.log(0.05)))
    how = str(rng.choice(["scale", "steps"] if dataset.side else ["scale", "steps", "derived"]))
    if dataset.discrete:
        how = "derived"
    if how == "scale":
        other = rows * factor
    elif how == "steps":
        step = np.maximum(rng.uniform(0.05, 0.3) * client.population.spread, 1e-9)
        other = np.round(rows / step) * step
    else:
        inputs = dataset.inputs
        columns = inputs[int(rng.integers(len(inputs)))]
        field = dataset.field_of(int(columns[0]))
        other = rows.copy()
        if field is None:
            shift = rng.normal(0, 0.02) * client.population.spread[columns]
            other[:, columns] = rows[:, columns] * factor + shift
        else:
            this, that = rng.choice(len(field.values), 2, replace=False)
            other[np.ix_(np.flatnonzero(field.nearest(rows) == this), columns)] = field.values[that]
    if rng.random() < 0.5:
        return dataset.snap(other)
    return dataset.keep_discrete(np.clip(other, dataset.low, dataset.high))


def with_or_without(rows: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Texts [n, d] with the same few words more each, or without the n-grams of these."""
    words = some_words(rng, int(rng.integers(1, 5))).sum(axis=0)
    return to_length_one(rows + WORD * words if rng.random() < 0.5 else np.where(words != 0.0, 0.0, rows))
