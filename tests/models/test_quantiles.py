"""Ranks and surprise against values worked out by hand, and their general properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.quantiles import GRID, TAIL, Quantiles

CAP = 12.0
HIGH, LOW, BOTH = (np.array([side], dtype=np.int64) for side in (1, -1, 0))
FINITE = st.floats(-1e300, 1e300, allow_nan=False)


def _hundreds() -> Quantiles:
    """Of the values 0, 1, ..., 12800: the grid is 0, 100, ..., 12800."""
    return Quantiles.fit(np.arange(12_801.0)[:, None])


def test_ranks_are_interpolated_between_quantiles() -> None:
    x = np.array([[-5.0], [0.0], [50.0], [100.0], [6400.0], [12_800.0], [1e9], [np.nan]])
    ranks = _hundreds().surprise(x, BOTH, CAP).ranks[:, 0]
    expected = [0.0, 0.0, 0.5 / 128, 1 / 128, 0.5, 1.0, 1.0, np.nan]
    assert np.allclose(ranks, expected, rtol=0.0, atol=1e-12, equal_nan=True)


def test_ties_take_the_middle_of_their_quantiles() -> None:
    # Of 0 and 1 half each, the quantiles 0..63 of 128 are 0, those from 65 on are 1; the middle lies between.
    x = np.array([[0.0]] * 500 + [[1.0]] * 500)
    ranks = Quantiles.fit(x).surprise(np.array([[0.0], [1.0]]), BOTH, CAP).ranks[:, 0]
    assert ranks[0] == pytest.approx(63 / 2 / 128)
    assert ranks[1] == pytest.approx((65 + 128) / 2 / 128)
    assert Quantiles.fit(np.full((9, 1), 3.0)).surprise(np.array([[3.0]]), BOTH, CAP).ranks[0, 0] == 0.5


def test_surprise_inside_is_the_empirical_tail_probability() -> None:
    quantiles, x = _hundreds(), np.array([[1280.0], [6400.0], [11_520.0]])
    assert np.allclose(quantiles.surprise(x, HIGH, CAP).extreme[:, 0], -np.log([0.9, 0.5, 0.1]))
    assert np.allclose(quantiles.surprise(x, LOW, CAP).extreme[:, 0], -np.log([0.1, 0.5, 0.9]))
    assert np.allclose(quantiles.surprise(x, BOTH, CAP).extreme[:, 0], [-np.log(0.2), 0.0, -np.log(0.2)])


def test_surprise_outside_goes_on_as_an_exponential_of_the_mean_excess() -> None:
    values = -np.log(1.0 - (np.arange(5000) + 0.5) / 5000)
    quantiles = Quantiles.fit(values[:, None])
    edge = np.quantile(values, 0.98)
    scale = (values[values > edge] - edge).mean()
    assert scale == pytest.approx(1.0, abs=0.02)
    x = edge + np.array([[0.5], [1.0], [3.0]]) * scale
    expected = -np.log(TAIL) + np.array([0.5, 1.0, 3.0])
    assert np.allclose(quantiles.surprise(x, HIGH, CAP).extreme[:, 0], expected)
    assert quantiles.surprise(np.array([[1e300]]), HIGH, CAP).extreme[0, 0] == CAP
    assert quantiles.surprise(np.array([[1e300]]), LOW, CAP).extreme[0, 0] == 0.0


def test_the_scale_of_a_short_tail_is_a_share_of_the_spread() -> None:
    quantiles, edge = _hundreds(), 0.98 * 12_800
    x = np.array([[edge + 0.02 * 12_800]])
    assert quantiles.surprise(x, HIGH, CAP).extreme[0, 0] == pytest.approx(1.0 - np.log(TAIL))


def test_the_floor_keeps_a_constant_column_from_certainty() -> None:
    still = np.zeros((100, 1))
    barely_off = np.array([[0.02]])
    assert Quantiles.fit(still).surprise(barely_off, HIGH, CAP).extreme[0, 0] == CAP
    assert Quantiles.fit(still, floor=0.02).surprise(barely_off, HIGH, CAP).extreme[0, 0] == pytest.approx(
        1.0 - np.log(TAIL)
    )


def test_a_column_without_values_stays_unknown_and_leaves_the_others_alone() -> None:
    x = np.random.default_rng(0).random((200, 2))
    alone = Quantiles.fit(x[:, :1])
    x[:, 1] = np.nan
    quantiles = Quantiles.fit(x)
    seen = np.array([[0.3, 0.9], [0.99, np.nan]])
    sides = np.array([1, 1], dtype=np.int64)
    for values, expected in (
        (quantiles.surprise(seen, BOTH, CAP).ranks, alone.surprise(seen[:, :1], BOTH, CAP).ranks),
        (quantiles.surprise(seen, sides, CAP).extreme, alone.surprise(seen[:, :1], HIGH, CAP).extreme),
    ):
        assert np.isnan(values[:, 1]).all()
        assert np.array_equal(values[:, :1], expected)


def test_missing_values_do_not_count() -> None:
    x = np.repeat(np.arange(300.0)[:, None], 2, axis=0)
    x[1::2] = np.nan
    assert np.array_equal(Quantiles.fit(x).grid, Quantiles.fit(np.arange(300.0)[:, None]).grid)


def test_quantiles_at_a_share() -> None:
    quantiles = _hundreds()
    assert quantiles.at(0.5).tolist() == [6400.0]
    assert quantiles.at(0.0).tolist() == [0.0]
    assert quantiles.at(1.0).tolist() == [12_800.0]
    assert quantiles.grid.shape == (1, GRID)


@settings(max_examples=60)
@given(st.lists(FINITE, min_size=1, max_size=60), st.lists(FINITE, min_size=2, max_size=20))
def test_ranks_and_surprise_are_bounded_and_monotone(learned: list[float], seen: list[float]) -> None:
    quantiles = Quantiles.fit(np.array(learned)[:, None])
    x = np.sort(np.array(seen))[:, None]
    ranks = quantiles.surprise(x, BOTH, CAP).ranks[:, 0]
    high, low, both = (quantiles.surprise(x, side, CAP).extreme[:, 0] for side in (HIGH, LOW, BOTH))
    rounding = 1e-9
    assert (ranks >= 0.0).all() and (ranks <= 1.0).all() and (np.diff(ranks) >= -rounding).all()
    assert (np.diff(high) >= -rounding).all() and (np.diff(low) <= rounding).all()
    for surprise in (high, low, both):
        assert (surprise >= 0.0).all() and (surprise <= CAP).all()
    assert np.allclose(both, np.maximum(np.maximum(high, low) - np.log(2.0), 0.0), atol=1.0)


@settings(max_examples=40)
@given(
    st.lists(st.floats(-100, 100).map(lambda v: round(v, 3)), min_size=10, max_size=60),
    st.sampled_from([2.0**-20, 0.25, 1.0, 8.0, 2.0**40]),
)
def test_scaling_a_column_changes_no_rank(learned: list[float], factor: float) -> None:
    x = np.array(learned)[:, None]
    one, scaled = (
        Quantiles.fit(x).surprise(x, BOTH, CAP).ranks,
        Quantiles.fit(x * factor).surprise(x * factor, BOTH, CAP).ranks,
    )
    assert np.allclose(one, scaled, rtol=0.0, atol=1e-9)
