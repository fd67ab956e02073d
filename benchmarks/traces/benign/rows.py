"""Rows as recorded, as they come, in some order, or again."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.benign.client import Client
from detector.query import FloatArray


def ordinary(client: Client, n: int) -> FloatArray:
    """Unrelated inputs, one after the other."""
    return client.rows(n)


def class_skewed(client: Client, n: int) -> FloatArray:
    """Nearly all inputs of one class: a clinic for one disease, a form with one field."""
    return client.of_one_class().rows(n)


def retries(client: Client, n: int) -> FloatArray:
    """Ordinary inputs, some sent again unchanged after errors or timeouts."""
    rng = client.rng
    share = rng.uniform(0.1, 0.5)
    times = 1 + np.where(rng.random(n) < share, rng.integers(1, 4, n), 0)
    return np.repeat(client.rows(n), times, axis=0)[:n]


def health_check(client: Client, n: int) -> FloatArray:
    """A monitor's constant input, or two to three in turn."""
    pool = client.rows(int(client.rng.choice([1, 1, 1, 2, 3])))
    return pool[np.arange(n) % len(pool)]


def nearest_first(client: Client, n: int) -> FloatArray:
    """Pages of search results: some rows of a pool in the order of their distance from the first."""
    sent: list[FloatArray] = []
    while len(sent) < n:
        page = int(client.rng.choice([10, 20, 50, 100]))
        page = min(page, n - len(sent))
        pool = client.rows(int(page * client.rng.uniform(2, 10)))
        unit = client.population.dataset.to_unit(pool)
        order = np.argsort(((unit - unit[0]) ** 2).sum(axis=1), kind="stable")
        sent += list(pool[order[:page]])
    return np.array(sent)


def load_test(client: Client, n: int) -> FloatArray:
    """A small pool of inputs replayed in random order, fast."""
    pool = client.rows(int(client.rng.integers(2, 21)))
    return pool[client.rng.integers(0, len(pool), n)]


def sorted_batch(client: Client, n: int) -> FloatArray:
    """A table scored overnight in the order of one of its columns, or of its sum."""
    rows = client.rows(n)
    varied = np.flatnonzero(client.population.spread > 0)
    by = rows.sum(axis=1) if client.rng.random() < 0.2 else rows[:, client.rng.choice(varied)]
    order = np.argsort(by, kind="stable")
    return rows[order if client.rng.random() < 0.5 else order[::-1]]


def long_batch(client: Client, n: int) -> FloatArray:
    """A whole table scored at one go, in no order or in that of a column."""
    return (sorted_batch if client.rng.random() < 0.5 else ordinary)(client, n)
