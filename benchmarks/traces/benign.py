"""Honest clients, kind by kind: what each sends. None of them looks at the model's answers.

Each kind is a function of a `Client` and a number of queries n, and returns inputs [n, d] in the
model's own unit. Rows are as natural as the kind's source: data as recorded (for images, grey values
without fractions) unless the docstring says that the client computes its inputs. Discrete columns always
hold one of their own values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from benchmarks.traces.data import Dataset
from benchmarks.traces.sources import Field
from benchmarks.traces.targets import Population
from benchmarks.traces.text import foreign_texts, some_words, to_length_one
from detector.query import FloatArray

WHITE = 16.0
"""The grey value that noise and brightness below are given for; other ranges are in proportion."""


@dataclass(frozen=True)
class Client:
    """Whose traffic it is: `mix` [k] are the class shares this client meets."""

    population: Population
    rng: np.random.Generator
    mix: FloatArray

    def rows(self, n: int) -> FloatArray:
        """n natural rows of this client's own mix."""
        return self.population.draw(self.rng, n, self.mix)


def ordinary(client: Client, n: int) -> FloatArray:
    """Unrelated inputs, one after the other."""
    return client.rows(n)


def class_skewed(client: Client, n: int) -> FloatArray:
    """Nearly all inputs of one class: a clinic for one disease, a form with one field."""
    mix = np.full(client.mix.size, 0.02 / client.mix.size)
    mix[client.rng.integers(mix.size)] += 0.98
    return client.population.draw(client.rng, n, mix)


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


def what_if(client: Client, n: int) -> FloatArray:
    """A person edits a form: one column through a few values, sometimes a grid, then the next column or
    record; a discrete input through its values. On images: a few pixels painted or wiped. A text: other
    words in one place, then in the next."""
    rng, dataset = client.rng, client.population.dataset
    if dataset.texts:
        return _rewritten(client, n)
    sent: list[FloatArray] = []
    while len(sent) < n:
        record = client.rows(1)[0]
        sent.append(record.copy())
        for _ in range(int(rng.integers(1, 5))):
            columns = rng.choice(
                dataset.columns, int(rng.integers(1, 4)) if dataset.side else 1, replace=False
            )
            field = dataset.field_of(int(columns[0]))
            low, high = dataset.low[columns], dataset.high[columns]
            tries = int(rng.integers(1, 9))
            if field is not None:
                columns = field.columns
                values = _other_values(field, record, rng)[:tries]
            elif rng.random() < 0.4:
                values = np.linspace(low, high, tries + 1)[1:]
            else:
                values = record[columns] + rng.normal(0, 0.15, (tries, columns.size)) * (high - low)
            for value in values:
                edited = record.copy()
                edited[columns] = value
                sent.append(dataset.snap(edited[None])[0])
            if rng.random() < 0.5:
                record = sent[-1].copy()
    return np.array(sent[:n])


WORD = 0.15
"""The length of one word's vector beside a paragraph's, some 50 words long."""


def _rewritten(client: Client, n: int) -> FloatArray:
    sent: list[FloatArray] = []
    while len(sent) < n:
        text = client.rows(1)
        sent.append(text[0])
        for _ in range(int(client.rng.integers(1, 5))):
            tries = to_length_one(text + WORD * some_words(client.rng, int(client.rng.integers(1, 9))))
            sent += list(tries)
            text = tries[-1:]
    return np.array(sent[:n])


def _other_values(field: Field, record: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The field's values but the record's own, in a list's order or any."""
    other = field.values[np.any(field.values != record[field.columns], axis=1)]
    return other if rng.random() < 0.5 else rng.permutation(other)


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
    changed[field.columns] = rng.choice(_other_values(field, x, rng))
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


def sorted_batch(client: Client, n: int) -> FloatArray:
    """A table scored overnight in the order of one of its columns, or of its sum."""
    rows = client.rows(n)
    varied = np.flatnonzero(client.population.spread > 0)
    by = rows.sum(axis=1) if client.rng.random() < 0.2 else rows[:, client.rng.choice(varied)]
    order = np.argsort(by, kind="stable")
    return rows[order if client.rng.random() < 0.5 else order[::-1]]


def drift(client: Client, n: int) -> FloatArray:
    """A video or a sensor: each input close to the last, moving smoothly from one scene to the next, with
    sensor noise. Fractions stay in half of the clients; discrete inputs jump midway. Of texts: a window that
    slides over a long one."""
    rng, dataset = client.rng, client.population.dataset
    frames = int(rng.integers(5, 60))
    scenes = client.rows(n // frames + 2)
    at = np.arange(n) / frames
    scene = at.astype(np.int64)
    t = (0.5 - 0.5 * np.cos(np.pi * (at - scene)))[:, None]
    smooth = (1 - t) * scenes[scene] + t * scenes[scene + 1]
    if dataset.texts:
        return to_length_one(smooth)
    noise = rng.choice([0.0, 0.005, 0.02, 0.05]) * client.population.spread
    moved = np.clip(smooth + rng.normal(size=smooth.shape) * noise, dataset.low, dataset.high)
    return dataset.keep_discrete(moved) if rng.random() < 0.5 else dataset.snap(moved)


def load_test(client: Client, n: int) -> FloatArray:
    """A small pool of inputs replayed in random order, fast."""
    pool = client.rows(int(client.rng.integers(2, 21)))
    return pool[client.rng.integers(0, len(pool), n)]


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


def shared_address(client: Client, n: int) -> FloatArray:
    """NAT or a shared key: several users of other kinds, query by query mixed."""
    rng = client.rng
    users = int(rng.integers(3, 11))
    whose = rng.integers(0, users, n)
    sent = np.empty((n, client.population.dataset.columns))
    for user in range(users):
        mine = np.flatnonzero(whose == user)
        if mine.size:
            kind = SINGLE_USER[int(rng.integers(len(SINGLE_USER)))]
            mix = rng.dirichlet(np.full(client.mix.size, 1.0))
            sent[mine] = kind(Client(client.population, rng, mix), mine.size)
    return sent


SINGLE_USER: tuple[Callable[[Client, int], FloatArray], ...] = (
    ordinary,
    ordinary,
    class_skewed,
    retries,
    what_if,
    augmentation,
)


def long_batch(client: Client, n: int) -> FloatArray:
    """A whole table scored at one go, in no order or in that of a column."""
    return (sorted_batch if client.rng.random() < 0.5 else ordinary)(client, n)


@dataclass(frozen=True)
class Kind:
    """A kind's share of sessions, its length (median, log sigma; heavy-tailed; within bounds) and its usual
    paces."""

    draw: Callable[[Client, int], FloatArray]
    share: float
    median: float
    sigma: float
    paces: tuple[str, ...]
    shortest: int = 3
    longest: int = 500

    def length(self, rng: np.random.Generator) -> int:
        """Queries of one session."""
        return int(
            np.clip(round(self.median * np.exp(self.sigma * rng.normal())), self.shortest, self.longest)
        )


KINDS: dict[str, Kind] = {
    "ordinary": Kind(ordinary, 0.30, 7, 0.9, ("person", "person", "app")),
    "class_skewed": Kind(class_skewed, 0.08, 8, 0.9, ("person", "app")),
    "retries": Kind(retries, 0.08, 8, 0.8, ("app", "job", "person")),
    "health_check": Kind(health_check, 0.06, 14, 1.1, ("clock",)),
    "what_if": Kind(what_if, 0.08, 10, 0.7, ("person", "person", "app")),
    "augmentation": Kind(augmentation, 0.08, 12, 0.8, ("bulk", "app", "job")),
    "sorted_batch": Kind(sorted_batch, 0.07, 15, 1.0, ("bulk", "job")),
    "drift": Kind(drift, 0.07, 20, 1.0, ("clock", "app", "job")),
    "load_test": Kind(load_test, 0.05, 15, 1.0, ("job", "app")),
    "shared_address": Kind(shared_address, 0.07, 15, 0.9, ("app", "person", "job")),
    "new_population": Kind(new_population, 0.06, 8, 0.9, ("person", "app", "bulk")),
    # One session in 170, and still two queries in five.
    "long_batch": Kind(long_batch, 0.002, 1400, 0.3, ("bulk", "job"), 1000, 3000),
    "long_drift": Kind(drift, 0.002, 1400, 0.3, ("clock", "app", "job"), 1000, 3000),
    "long_shared_address": Kind(shared_address, 0.002, 1400, 0.3, ("app", "job"), 1000, 3000),
}
