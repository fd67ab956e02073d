"""The data set of texts: real paragraphs, as the vectors that the detector makes of texts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.traces.benign import KINDS, Client
from benchmarks.traces.data import Dataset, load
from benchmarks.traces.targets import Population
from benchmarks.traces.text import foreign_texts, texts, to_length_one
from detector.features.text import vectorise_many
from detector.query import FloatArray

SEED = 3


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("text", SEED)


def drawn(data: Dataset, kind: str, n: int) -> FloatArray:
    rng = np.random.default_rng(1)
    return KINDS[kind].draw(Client(Population(data), rng, np.full(data.classes, 1 / data.classes)), n)


def test_texts_are_many_and_different_for_every_seed() -> None:
    rows, labels = texts(SEED)
    assert rows.shape == (len(labels), 256)
    assert np.bincount(labels).min() > 300
    assert len(np.unique(rows, axis=0)) > 0.99 * len(rows)
    np.testing.assert_array_equal(rows, texts(SEED)[0])
    assert not np.array_equal(rows, texts(SEED + 1)[0])


def test_a_pasted_text_is_the_scaled_sum_of_its_parts() -> None:
    first, second = "gradient descent with momentum", "nearest neighbours of a query"
    parts = vectorise_many([first, second])
    pasted = vectorise_many([f"{first} {second}"])[0]
    weights, *_ = np.linalg.lstsq(parts.T, pasted, rcond=None)
    assert (weights > 0).all()
    np.testing.assert_allclose(weights @ parts, pasted, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_clients_send_vectors_of_texts(data: Dataset, kind: str) -> None:
    lengths = np.linalg.norm(drawn(data, kind, 60), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=2e-6)


def test_other_words_in_one_place_are_a_small_change(data: Dataset) -> None:
    sent = drawn(data, "what_if", 200)
    steps = np.linalg.norm(np.diff(sent, axis=0), axis=1)
    assert 0.3 < (steps < 0.35).mean() < 1.0
    assert steps.min() > 0.0


def test_foreign_texts_are_none_of_the_models(data: Dataset) -> None:
    theirs = foreign_texts(np.random.default_rng(1), 50)
    ours = {row.tobytes() for row in np.vstack([data.train, data.live, data.attacker])}
    assert not {row.tobytes() for row in theirs} & ours
    np.testing.assert_array_equal(to_length_one(theirs), theirs)
    assert to_length_one(np.zeros((1, 256))).any() == np.False_
