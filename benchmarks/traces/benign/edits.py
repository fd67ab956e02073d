"""Records that somebody edits, and asks about again."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.traces.benign.client import Client
from benchmarks.traces.data import Dataset
from benchmarks.traces.sources import Field
from benchmarks.traces.text import WORD, some_words, to_length_one
from detector.query import FloatArray, IntArray


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
                values = other_values(field, record, rng)[:tries]
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


def other_values(field: Field, record: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The field's values but the record's own, in a list's order or any."""
    other = field.values[np.any(field.values != record[field.columns], axis=1)]
    return other if rng.random() < 0.5 else rng.permutation(other)


def crossed_grid(client: Client, n: int) -> FloatArray:
    """What if, over two inputs crossed: sliders through evenly spaced values of each, discrete inputs through
    all of theirs, on one to three records; then the next two inputs. On images, a patch painted at places of
    a grid in one to four grey values, as an occlusion check by hand does; in texts, two places with other
    words each."""
    rng, dataset = client.rng, client.population.dataset
    records = client.rows(int(rng.integers(1, min(3, max(1, n // 12)) + 1)))
    cells = -(-n // len(records))
    itself = rng.random() < 0.3
    sent: list[FloatArray] = []
    while len(sent) < n:
        if dataset.texts:
            grids = _two_places(client, records, cells)
        elif dataset.side:
            grids = _patches(client, records, cells)
        else:
            grids = _two_inputs(client, records, cells)
        for record, grid in zip(records, grids, strict=True):
            sent += [record, *grid] if itself else list(grid)
    return np.array(sent[:n])


def _two_places(client: Client, records: FloatArray, cells: int) -> list[FloatArray]:
    each = int(client.rng.integers(1, 5))
    first, second = (
        some_words(client.rng, edge * each).reshape(edge, each, -1).sum(axis=1)
        for edge in _edges(client.rng, cells)
    )
    words = WORD * (first[:, None] + second[None]).reshape(-1, records.shape[1])
    return [to_length_one(record + words) for record in records]


def _patches(client: Client, records: FloatArray, cells: int) -> list[FloatArray]:
    rng, dataset = client.rng, client.population.dataset
    white = float(dataset.high[0])
    greys = rng.permutation([0.0, white, np.round(records.mean()), np.round(white / 2)])[: rng.integers(1, 5)]
    edge = max(1, round(float(rng.uniform(0.1, 0.35)) * dataset.side))
    along = np.linspace(0, dataset.side - edge, int(np.ceil(np.sqrt(cells / len(greys)))))
    painted: list[FloatArray] = []
    for top, left in itertools.product(np.unique(np.round(along).astype(np.int64)), repeat=2):
        patch = np.zeros((dataset.side, dataset.side), dtype=np.bool_)
        patch[top : top + edge, left : left + edge] = True
        painted += [np.where(patch.ravel(), grey, records) for grey in greys]
    return list(np.stack(painted, axis=1))


def _two_inputs(client: Client, records: FloatArray, cells: int) -> list[FloatArray]:
    rng, dataset = client.rng, client.population.dataset
    varied = [columns for columns in dataset.inputs if client.population.spread[columns].any()]
    pair = [varied[which] for which in rng.choice(len(varied), 2, replace=False)]
    first, second = (
        _slider(client, columns, edge) for columns, edge in zip(pair, _edges(rng, cells), strict=True)
    )
    grids: list[FloatArray] = []
    for record in records:
        grid = np.repeat(record[None], len(first) * len(second), axis=0)
        grid[:, pair[0]] = np.repeat(first, len(second), axis=0)
        grid[:, pair[1]] = np.tile(second, (len(first), 1))
        grids.append(grid)
    return grids


def _slider(client: Client, columns: IntArray, stops: int) -> FloatArray:
    """[m, columns] the values that an input is moved through, ascending: evenly over its public range or over
    where nine in ten rows are, as the data's source writes them."""
    dataset = client.population.dataset
    field = dataset.field_of(int(columns[0]))
    if field is not None:
        return field.values
    low, high = dataset.low[columns[0]], dataset.high[columns[0]]
    if client.rng.random() < 0.5:
        low, high = np.quantile(client.population.rows[:, columns[0]], [0.05, 0.95])
    values = np.round(np.linspace(float(low), float(high), stops), int(dataset.decimals[columns[0]]))
    return np.asarray(np.unique(values))[:, None]


def _edges(rng: np.random.Generator, cells: int) -> tuple[int, int]:
    """Rows and columns of a grid of about so many cells, not always square."""
    rows = max(2, round(float(np.sqrt(cells) * np.exp(rng.normal(0, 0.4)))))
    return rows, max(2, -(-cells // rows))


def recourse(client: Client, n: int) -> FloatArray:
    """What would have to be otherwise: of each record up to 25 queries, at least 4 where enough is unlike, in
    which one or two inputs at a time are taken from another row of the population, at once or in two or three
    steps, and mostly kept. Of images: a box of pixels, of texts: some of the words."""
    rng, population = client.rng, client.population
    dataset = population.dataset
    sent: list[FloatArray] = []
    while len(sent) < n:
        record = client.rows(1)[0]
        sent.append(record)
        models = population.draw(rng, int(rng.choice([1, 1, 3, 9])))
        left = int(rng.integers(3, 25))
        for _ in range(left):
            model = models[int(rng.integers(len(models)))]
            columns, steps = some_inputs(record, model, dataset, rng), int(rng.integers(1, 4))
            tries = [nearer(record, model, columns, step / steps, dataset) for step in range(1, steps + 1)]
            new = [x for x, last in zip(tries, [record, *tries], strict=False) if (x != last).any()][:left]
            sent += new
            left -= len(new)
            if new and rng.random() < 0.7:
                record = new[-1]
    return np.array(sent[:n])


def habitual(client: Client, n: int) -> FloatArray:
    """A client with a handful of records of its own, sent again and again, some more often than others; now
    and then one has changed a little (for good, in half of the clients), or a new one takes the place of the
    least used."""
    rng, dataset = client.rng, client.population.dataset
    own = list(client.rows(int(rng.integers(2, 9))))
    changes, news, for_good = rng.uniform(0.05, 0.5), rng.uniform(0.01, 0.1), rng.random() < 0.5
    sent: list[FloatArray] = []
    for _ in range(n):
        if rng.random() < news:
            own = [client.rows(1)[0], *own[:-1]]
        which = min(int(rng.exponential(len(own) / 3)), len(own) - 1)
        record = own[which]
        if rng.random() < changes:
            other = client.rows(1)[0]
            columns = some_inputs(record, other, dataset, rng)
            record = nearer(record, other, columns, rng.uniform(0.02, 0.3), dataset)
        if for_good:
            own[which] = record
        sent.append(record)
    return np.array(sent)


def some_inputs(x: FloatArray, other: FloatArray, dataset: Dataset, rng: np.random.Generator) -> IntArray:
    """The columns of one or two inputs in which two rows [d] differ (none if they do not); of an image those
    of a box; of a text all."""
    if dataset.texts:
        return np.arange(dataset.columns)
    if dataset.side:
        return dataset.box(rng, 0.15, 0.5)
    unlike = [columns for columns in dataset.inputs if (x[columns] != other[columns]).any()]
    chosen = rng.permutation(len(unlike))[: rng.integers(1, 3)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *(unlike[which] for which in chosen)])


PASTED = 0.3
"""The share of another text that an edit pastes at most."""


def nearer(x: FloatArray, other: FloatArray, columns: IntArray, share: float, dataset: Dataset) -> FloatArray:
    """x [d] with some columns moved by a share (0 to 1) of the way to another row's, as the data's source
    writes it; discrete inputs among them are copied."""
    moved = x.copy()
    moved[columns] += (PASTED if dataset.texts else 1.0) * share * (other - x)[columns]
    for field in dataset.fields:
        if field.columns[0] in columns:
            moved[field.columns] = other[field.columns]
    return np.asarray(dataset.snap(moved[None])[0])
