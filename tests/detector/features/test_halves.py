"""Inputs that the units were learned from are judged by what the others of them show."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.features.catalogue import INDEX
from detector.features.halves import halves_of
from detector.features.inputs import Inputs, learn, learn_apart
from detector.query import FloatArray
from tests.detector.features.stream import measure, session


def crowd(n: int, seed: int) -> FloatArray:
    """Rows of 24 columns that hang together in threes, some of them whole numbers."""
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(n, 8)), 3, axis=1) + 0.5 * rng.normal(size=(n, 24))
    x[:, 20:] = np.rint(4.0 * x[:, 20:])
    return x


def last(rows: FloatArray, units: Inputs, feature: str) -> float:
    """A feature of one session that sends these rows, on average over its evaluation points."""
    return float(measure(session(rows), units).features[:, INDEX[feature]].mean())


def test_rows_of_the_sample_seem_as_strange_apart_as_new_ones_do() -> None:
    sample, new = crowd(600, seed=1), crowd(600, seed=2)
    whole = learn(sample)
    apart = learn_apart(sample, whole)
    for feature in ("rare_pairs", "off_grid"):
        within, out, fresh = (
            last(sample, whole, feature),
            last(sample, apart, feature),
            last(new, whole, feature),
        )
        assert within < 0.8 * fresh
        assert fresh < out < 2.0 * fresh  # a half of the sample knows a little less than all of it


def test_oddness_is_asked_of_the_other_half() -> None:
    sample = crowd(600, seed=1)
    whole = learn(sample)
    apart = learn_apart(sample, whole)
    fresh = learn(crowd(600, seed=2))
    assert (apart.odd >= whole.odd).all()
    assert apart.odd[1] >= fresh.odd[1]


def test_a_value_that_one_input_has_is_off_the_grid_for_that_input_however_often_it_came() -> None:
    rng = np.random.default_rng(3)
    sample = np.column_stack([rng.normal(size=400), rng.integers(0, 3, 400).astype(float)])
    sample[7] = sample[8] = 0.5, 9.0
    whole = learn(sample)
    assert 9.0 in whole.grid[0, 1]
    apart = learn_apart(sample, whole)
    mine = int(halves_of(sample)[7])
    assert 9.0 not in apart.grid[mine, 1]
    assert 9.0 in apart.grid[1 - mine, 1]


def test_few_rows_are_not_told_apart() -> None:
    sample = crowd(40, seed=1)
    whole = learn(sample)
    assert learn_apart(sample, whole) is whole


def test_measured_apart_a_session_is_independent_of_batches() -> None:
    sample = crowd(200, seed=1)
    units = learn_apart(sample, learn(sample))
    batch = session(sample[:60])
    np.testing.assert_array_equal(
        measure(batch, units).features, measure(batch, units, cuts=[1, 2, 17, 40]).features
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_the_content_alone_decides(seed: int, d: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(400, d))
    halves = halves_of(rows)
    assert set(halves.tolist()) == {0, 1}
    assert 0.35 < halves.mean() < 0.65
    shuffled = np.random.default_rng(1).permutation(400)
    np.testing.assert_array_equal(halves_of(rows[shuffled]), halves[shuffled])
