"""A repeat is passed over, so nobody may make a search look like repeats: crafted hashes, long paddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from detector.features.layout import DISTINCT, QUERIES
from detector.features.similarity import fingerprint
from detector.features.text import MAX_CHARACTERS, vectorise, vectorise_many
from detector.query import FloatArray
from tests.detector.features.stream import measure, session

_PRIME, _ALL = 1_099_511_628_211, (1 << 64) - 1
_INVERSE = pow(_PRIME, -1, 1 << 64)


def _hash(values: FloatArray) -> int:
    return int(fingerprint(values.view(np.int64))) & _ALL


def _before_folding(folded: int) -> int:
    """A word that the last step of `fingerprint` folds to this one; its complement is the other."""
    word = 0
    for i in range(62, -1, -1):
        word |= (((folded >> i) & 1) ^ (word >> min(63, i + 29)) & 1) << i
    return word


def _last_numbers(rest: FloatArray, target: int) -> Iterator[float]:
    """Numbers that give `rest` with one of them behind it the fingerprint `target`."""
    before = _hash(rest)
    for word in (_before_folding(target), ~_before_folding(target) & _ALL):
        yield float(np.uint64((word * _INVERSE & _ALL) ^ before).view(np.float64))


def test_inputs_crafted_to_share_a_fingerprint_are_no_repeats() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 6))
    target = _hash(x[12])
    for row in x[13:]:
        while True:  # of the numbers that collide, one that a float32 model takes for 0
            row[0] += 1e-9
            tiny = [v for v in _last_numbers(row[:-1], target) if abs(v) < 1e-30]
            if tiny:
                row[-1] = tiny[0]
                break
    assert {_hash(row) for row in x[12:]} == {target}
    twice = np.concatenate([x, x[-16:]])
    slots = measure(session(twice)).slots
    assert slots.counts[0, QUERIES] == 76
    assert slots.counts[0, DISTINCT] == 60


@pytest.mark.parametrize("where", ["front", "middle", "end"])
def test_long_texts_that_differ_anywhere_are_no_repeats(where: str) -> None:
    half = "a system prompt that everybody shares. " * 1000
    texts = [
        {"front": f"{n} {half}{half}", "middle": f"{half}{n}{half}", "end": f"{half}{half}{n}"}[where]
        for n in range(20)
    ]
    vectors = vectorise_many(texts)
    assert len(np.unique(vectors, axis=0)) == 20
    assert np.linalg.norm(vectors - vectors[0], axis=1).max() < 0.1


def test_texts_up_to_the_limit_are_taken_as_they_are() -> None:
    text = "ab " * (MAX_CHARACTERS // 3)
    assert np.array_equal(vectorise(text), vectorise(text.strip()))
    assert not np.array_equal(vectorise(text), vectorise(text + "xy"))
