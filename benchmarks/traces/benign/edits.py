"""Records that somebody edits, and asks about again."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.benign.client import Client
from benchmarks.traces.sources import Field
from benchmarks.traces.text import WORD, some_words, to_length_one
from detector.query import FloatArray


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
