"""Ordinary rows, of which a part is broken for a while."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.benign.client import Client
from benchmarks.traces.benign.preparation import with_or_without
from benchmarks.traces.data import Dataset
from detector.query import FloatArray, IntArray

UNITS = (0.001, 0.01, 0.0254, 0.3048, 0.4536, 2.2046, 3.2808, 100.0, 1000.0)
GAINS = (0.25, 0.5, 2.0, 4.0)


def faulty_input(client: Client, n: int) -> FloatArray:
    """Ordinary rows, of which for a while one input is stuck, zero, at its mean, or in another unit (a
    discrete one: stuck, at its first or most frequent value, or its codes off by one); the only kind that
    leaves the public range and, there, the source's decimals. Of images: a stripe, with another gain instead
    of another unit. Of texts: the same few words in each, or missing from each."""
    rng, dataset = client.rng, client.population.dataset
    rows = client.rows(n)
    first = int(rng.integers(n))
    last = min(n, first + max(1, round(float(rng.uniform(0.1, 0.8)) * n)))
    if dataset.texts:
        rows[first:last] = with_or_without(rows[first:last], rng)
        return rows
    columns = _stripe(dataset, rng) if dataset.side else dataset.inputs[rng.integers(len(dataset.inputs))]
    rows[first:last, columns] = _broken(client, rows[first:last], columns)
    return rows


def _broken(client: Client, rows: FloatArray, columns: IntArray) -> FloatArray:
    """[m, columns] what these rows [m, d] hold instead; stuck at what the first of them holds."""
    rng, population = client.rng, client.population
    dataset = population.dataset
    field = dataset.field_of(int(columns[0]))
    values = rows[:, columns]
    how = str(rng.choice(["stuck", "zero", "mean", "unit"]))
    if how == "stuck":
        return np.repeat(values[:1], len(values), axis=0)
    if field is not None:
        codes = {
            "zero": np.zeros(len(values), dtype=np.int64),
            "mean": np.full(len(values), np.bincount(field.nearest(population.rows)).argmax()),
            "unit": (field.nearest(rows) + 1) % len(field.values),
        }
        return np.asarray(field.values[codes[how]])
    if how == "zero":
        return np.zeros_like(values)
    if how == "mean":
        mean = population.rows[:, columns].mean(axis=0)
        return np.repeat(np.atleast_2d(np.round(mean) if dataset.side else mean), len(values), axis=0)
    if dataset.side:
        louder = np.round(rng.choice(GAINS) * values)
        return np.asarray(np.clip(louder, dataset.low[columns], dataset.high[columns]))
    return np.asarray(rng.choice(UNITS) * values)


def _stripe(dataset: Dataset, rng: np.random.Generator) -> IntArray:
    """The columns of some lines of an image, lying or standing."""
    pixels = np.arange(dataset.columns).reshape(dataset.side, dataset.side)
    lines = max(1, round(float(rng.uniform(0.05, 0.3)) * dataset.side))
    first = int(rng.integers(0, dataset.side - lines + 1))
    return np.asarray((pixels if rng.random() < 0.5 else pixels.T)[first : first + lines]).ravel()
