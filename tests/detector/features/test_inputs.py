"""Units learned from a sample of benign inputs, also from odd samples."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.features.inputs import COMPONENTS, Inputs, from_arrays, learn, of_texts, to_arrays, unlearned
from detector.features.projection import SKETCH, projection
from detector.features.text import vectorise_many
from detector.query import FloatArray


def _sound(units: Inputs) -> None:
    """Every number finite, weights not negative, directions orthonormal."""
    for name, values in units._asdict().items():
        assert np.isfinite(values).all(), name
    assert (units.weight >= 0.0).all()
    assert (units.low <= units.high).all() and (units.tolerance >= 0.0).all()
    gram = units.components[0] @ units.components[0].T
    assert np.allclose(gram, np.eye(len(gram)), atol=1e-6)


def _normal(n: int, d: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_two_benign_inputs_lie_one_apart_typically() -> None:
    sample = _normal(1000, 12) * np.geomspace(1e-6, 1e6, 12) + 5.0
    units = learn(sample)
    z = (sample - units.location) * units.weight
    assert np.median(np.linalg.norm(z[1:] - z[:-1], axis=1)) == pytest.approx(1.0, abs=0.05)
    assert units.weight * np.geomspace(1e-6, 1e6, 12) == pytest.approx(np.full(12, 1 / np.sqrt(24)), rel=0.15)


def test_a_column_that_never_varies_weighs_nothing() -> None:
    sample = _normal(200, 3)
    sample[:, 1] = 200_000.0
    units = learn(sample)
    assert units.weight[1] == 0.0
    assert units.location[1] == 200_000.0
    _sound(units)
    _sound(learn(np.full((50, 3), 0.1)))


def test_a_small_variation_round_a_large_value_counts() -> None:
    sample = _normal(300, 2)
    sample[:, 0] = 200_000.0 + 0.001 * sample[:, 0]
    units = learn(sample)
    assert units.weight[0] / units.weight[1] == pytest.approx(1000.0, rel=0.2)


def test_a_few_wild_rows_do_not_change_the_units_much() -> None:
    sample = _normal(1000, 4)
    wild = sample.copy()
    wild[:5] = 1e12
    assert learn(wild).weight == pytest.approx(learn(sample).weight, rel=0.2)


def test_discrete_columns_remember_their_values() -> None:
    rng = np.random.default_rng(0)
    sample = np.column_stack([rng.integers(0, 5, 400) * 10.0, rng.random(400)])
    units = learn(sample)
    assert units.distinct[0].tolist() == [5, 0]
    assert units.grid[0, 0, :5].tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert units.low[0, 0] == pytest.approx(0.0, abs=1e-4) and units.high[0, 0] == pytest.approx(
        40.0, abs=1e-4
    )


def test_discrete_columns_and_even_steps_outlive_a_few_attackers() -> None:
    """A twentieth of the rows comes from searches that send any number in any column."""
    rng = np.random.default_rng(0)
    sample = np.column_stack([rng.integers(0, 5, 1000), rng.integers(0, 300, 1000), rng.random(1000)])
    sample[::20] = rng.random((50, 3)) * [4.0, 299.0, 1.0]
    units = learn(sample)
    assert units.distinct[0].tolist() == [5, 0, 0]
    assert units.grid[0, 0, :5].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert units.per_step.tolist() == [0.0, 1.0, 0.0]


def test_a_column_that_is_mostly_zero_is_continuous() -> None:
    rng = np.random.default_rng(0)
    sample = np.where(rng.random((1000, 1)) < 0.93, 0.0, rng.random((1000, 1)))
    sample = np.hstack([sample, rng.integers(0, 3, (1000, 3))])
    assert learn(sample).distinct[0].tolist() == [0, 3, 3, 3]


def test_a_rare_category_varies() -> None:
    """A column that is 1 in two rows of a thousand has quartiles of 0, and still a unit."""
    sample = _normal(1000, 2)
    sample[:, 0] = 0.0
    sample[:2, 0] = 1.0
    units = learn(sample)
    assert units.weight[0] > 0.0
    _sound(units)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (2, 5), (3, 40), (50, 1), (2, 4096)])
def test_small_samples_are_enough(n: int, d: int) -> None:
    units = learn(_normal(n, d))
    assert units.weight.shape == (d,)
    assert len(units.components[0]) <= COMPONENTS
    _sound(units)


def test_two_equal_rows_are_a_sample_too() -> None:
    _sound(learn(np.ones((2, 3))))


def test_long_inputs_are_learned_quickly() -> None:
    sample = _normal(256, 4096)
    began = time.perf_counter()
    units = learn(sample)
    assert time.perf_counter() - began < 10.0
    _sound(units)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-40, 1e38, 1e160, 1e300])
def test_extreme_scales_give_finite_units(scale: float) -> None:
    sample = _normal(100, 4) * 0.1
    sample[:, 1] *= scale
    units = learn(sample)
    _sound(units)
    assert units.weight[0] > 0.0


@settings(max_examples=100)
@given(
    st.integers(1, 4).flatmap(
        lambda d: st.lists(
            st.lists(st.floats(-1e300, 1e300, allow_nan=False), min_size=d, max_size=d),
            min_size=2,
            max_size=12,
        )
    )
)
def test_any_sample_gives_finite_units(rows: list[list[float]]) -> None:
    _sound(learn(np.array(rows)))


def test_units_survive_saving() -> None:
    units = learn(_normal(100, 50))
    again = from_arrays(to_arrays(units))
    for name, values in units._asdict().items():
        assert np.array_equal(values, getattr(again, name)), name
        assert values.dtype == getattr(again, name).dtype, name


def test_units_tell_texts_from_numbers() -> None:
    texts = [f"please reset my password number {n} for the {n % 7} system" for n in range(300)]
    vectors = vectorise_many(texts)
    assert of_texts(learn(vectors))
    assert of_texts(learn(np.round(vectors, 8)))
    assert of_texts(learn(np.vstack([vectors, np.zeros((20, 256))])))
    assert not of_texts(learn(np.vstack([vectors[:200], (vectors[:200] + vectors[100:]) / 1.7])))
    assert not of_texts(learn(vectors * 1.2))
    assert not of_texts(learn(_normal(300, 256) / 16.0))
    images = np.random.default_rng(1).integers(0, 256, (300, 256)).astype(np.float64)
    assert not of_texts(learn(images))
    assert not of_texts(learn(np.eye(256)))
    assert not of_texts(unlearned(256))


def test_units_that_were_saved_before_texts_were_told_are_of_numbers() -> None:
    stored = to_arrays(learn(_normal(100, 50)))
    del stored["texts"]
    assert not of_texts(from_arrays(stored))


def test_the_projection_keeps_distances_on_average_and_is_the_identity_for_short_inputs() -> None:
    bucket, sign = projection(SKETCH)
    assert np.array_equal(bucket[:, 0], np.arange(SKETCH))
    assert np.array_equal(sign[:, 0], np.ones(SKETCH)) and not sign[:, 1].any()
    d = 1000
    bucket, sign = projection(d)
    x = _normal(200, d)
    sketch = np.zeros((200, SKETCH))
    for j in range(d):
        for which in (0, 1):
            sketch[:, bucket[j, which]] += sign[j, which] * x[:, j]
    ratio = np.linalg.norm(sketch, axis=1) / np.linalg.norm(x, axis=1)
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)
    assert ratio.std() < 0.25
