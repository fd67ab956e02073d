"""Every feature of the catalogue on streams where its value is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from detector.columns import QueryBatch
from detector.features.catalogue import NAMES
from detector.features.inputs import Inputs, learn
from tests.detector.features import scenarios as s
from tests.detector.features.stream import measure, session

RISING = np.linspace(0.05, 0.95, 200)
BACK_AND_FORTH = 0.5 + 0.005 * (-1.0) ** np.arange(200)
TENTHS = (np.arange(300) % 16 + 0.5) / 16.0
JUMP = np.r_[np.full(400, 0.1), np.full(16, 0.9)]
FOUR_TIMES = (15 / 16) * (1 - (15 / 16) ** 3) / (1 - (15 / 16) ** 4)
"""A forgetting mean of 0, 1, 1, 1, 0, ... after a 0: features are taken at new inputs."""
DRIFT = 0.8 * (63 / 64) ** 16 - 0.8 * (15 / 16) ** 16


class Known(NamedTuple):
    """`feature` at the end of the session lies in [low, high]; one value is meant to rounding."""

    feature: str
    why: str
    batch: QueryBatch
    low: float
    high: float
    units: Inputs | None


def known(
    feature: str,
    why: str,
    batch: QueryBatch,
    low: float,
    high: float | None = None,
    units: Inputs | None = None,
) -> Known:
    """A case; without `high` the value is `low`, but for rounding; without `units` they are raw."""
    if high is None:
        low, high = low - 1e-3, low + 1e-3
    return Known(feature, why, batch, low, high, units)


def two_classes(p: np.ndarray) -> np.ndarray:
    """Probabilities [n, 2] of a binary model."""
    return np.stack([1.0 - p, p], axis=1)


STILL = s.walk(200, 0.01)
TABLE = learn(s.two_alike_and_a_number())
HALF, FIFTH, HUNDREDTH = -np.log((np.array([500, 200, 10]) + 0.5) / 1004.0)
"""Rarity of what so many of 1,000 benign rows have."""
APART = np.log((1000.0 * (500.5 / 1004.0) ** 2 + 0.5) / 0.5)
"""Conflict of two values that would be together in a quarter of 1,000 rows, and are in none."""
CASES = [
    known("step_length", "steps of 0.01", session(s.walk(length=0.01)), np.log(0.01)),
    known("step_length", "steps of 1", session(s.walk(length=1.0)), 0.0),
    known("nearest_distance", "0.01 beside an older query", session(s.two_places()), np.log(0.01)),
    known("nearest_distance", "far apart", session(s.far_apart()), 1.0, 1.8),
    known("centroid_distance", "sphere of radius 3", session(s.sphere()), np.log(3.0), np.log(3.0) + 0.08),
    known("distance_trend", "steps shrink by 5% a query", session(s.closing_in()), -2.8, -2.0),
    known("distance_trend", "steps stay", session(s.line()), 0.0),
    known("near_duplicates", "0.01 apart", session(s.walk(length=0.01)), 1.0),
    known("near_duplicates", "far apart", session(s.far_apart()), 0.0),
    known("exact_duplicates", "each four times", session(np.repeat(s.far_apart(), 4, axis=0)), FOUR_TIMES),
    known("exact_duplicates", "near, but no two are equal", session(s.walk()), 0.0),
    known("off_grid", "raw units know no grid", session(s.far_apart()), 0.0),
    known(
        "off_manifold", "without a subspace: the norm", session(3.0 * np.sign(s.far_apart())), np.log(12.0)
    ),
    known("rare_values", "all usual", session(s.alike(0.4)), (2 * HALF + FIFTH) / 3, units=TABLE),
    known("rare_values", "too large", session(s.alike(9.0)), (2 * HALF + HUNDREDTH) / 3, units=TABLE),
    known("rare_pairs", "always alike", session(s.alike(0.4)), 0.0, 0.01, TABLE),
    known("rare_pairs", "never alike", session(s.alike(0.4, 1.0)), APART / 3, APART / 3 + 0.01, TABLE),
    known("centre_changes", "each 8th query", session(s.centre_after_centre()), 0.1, 0.15),
    known("centre_changes", "always near", session(s.walk()), 0.0),
    known("centre_changes", "never near", session(s.far_apart()), 0.0),
    known("step_sparsity", "1 column of 64", session(s.one_column_at_a_time()), -6.0),
    known("step_sparsity", "all columns", session(s.walk()), 0.0),
    known("step_sparsity", "2 columns of 16", session(s.line()), -3.0),
    known("one_column_steps", "one at a time", session(s.one_column_at_a_time()), 1.0),
    known("one_column_steps", "two at a time", session(s.line()), 0.0),
    known("step_evenness", "sign steps", session(s.sign_steps()), 1.0),
    known("step_evenness", "noise", session(s.walk(d=512)), 0.6, 0.68),
    known("step_cosine", "noise round a centre", session(s.noise_round_a_centre()), -0.52, -0.48),
    known("step_cosine", "antithetic pairs", session(s.antithetic_pairs()), -0.73, -0.69),
    known("step_cosine", "straight on", session(s.line()), 1.0),
    known("step_cosine", "random walk", session(s.walk(d=512)), -0.05, 0.05),
    known("cosine_atoms", "noise round a centre", session(s.noise_round_a_centre()), 0.9, 1.0),
    known("cosine_atoms", "antithetic pairs", session(s.antithetic_pairs()), 0.9, 1.0),
    known("cosine_atoms", "random walk", session(s.walk(d=512)), 0.0),
    known("collinear_steps", "bisection", session(s.binary_search()), 1.0),
    known("collinear_steps", "random walk", session(s.walk()), 0.0),
    known("step_irregularity", "equal steps", session(s.walk()), 0.0),
    known("step_irregularity", "lengths 1 and e**2", session(s.turns()), 1.0),
    known("radius_irregularity", "sphere", session(s.sphere()), 0.0, 0.08),
    known("radius_irregularity", "near and far in turn", session(s.far_apart() * RISING[:, None]), 0.15, 1.0),
    known("returns", "two places in turn", session(s.two_places()), 1.0),
    known("returns", "straight on", session(s.line()), 0.0),
    known("halving_steps", "bisection", session(s.binary_search()), 1.0),
    known("halving_steps", "lengths 1 and e**2", session(s.turns()), 0.0),
    known("confidence_trend", "rises", session(STILL, two_classes(RISING)), 1.0),
    known("confidence_trend", "the answer stays", session(STILL, two_classes(0.0 * RISING)), 0.0),
    known("confidence_trend", "up and down", session(STILL, two_classes(BACK_AND_FORTH)), -0.1, 0.1),
    known("record_highs", "rises", session(STILL, two_classes(RISING)), 1.0),
    known("record_highs", "falls", session(STILL, confidence=RISING[::-1]), 0.0),
    known("record_highs", "up and down", session(STILL, two_classes(BACK_AND_FORTH)), 0.0),
    known("confidence_drift", "0.1, then 0.9", session(s.walk(416), confidence=JUMP), DRIFT),
    known("confidence_drift", "stays", session(STILL, confidence=np.full(200, 0.7)), 0.0),
    known("confidence_coverage", "one confidence", session(STILL, confidence=np.full(200, 0.7)), 0.0),
    known("confidence_coverage", "all in turn", session(s.walk(300), confidence=TENTHS), 0.9, 1.0),
    known("log_margin", "0.75 against 0.25", session(STILL, two_classes(np.full(200, 0.25))), np.log(0.501)),
    known("log_margin", "on the boundary", session(STILL, two_classes(np.full(200, 0.5))), np.log(0.001)),
    known("label_monopoly", "one label", session(STILL, labels=[3] * 200), 1.0),
    known("label_monopoly", "16 labels", session(s.walk(300), labels=np.arange(300) % 16), 0.0625, 0.08),
    known("label_flips", "every time", session(STILL, labels=np.arange(200) % 2), 1.0),
    known("label_flips", "never", session(STILL, labels=[1] * 200), 0.0),
    known("close_flips", "near inputs", session(STILL, labels=np.arange(200) % 2), 1.0),
    known("close_flips", "far inputs", session(s.far_apart(), labels=np.arange(200) % 2), 0.0),
    known("confidence_step", "by 0.01", session(STILL, confidence=BACK_AND_FORTH), np.log(0.010001)),
    known("confidence_step", "none", session(STILL, confidence=np.full(200, 0.7)), np.log(1e-6)),
    known("log_doubt", "sure to 0.99", session(STILL, confidence=np.full(200, 0.99)), np.log(0.010001)),
    known("log_doubt", "certain", session(STILL, confidence=np.full(200, 1.0)), np.log(1e-6)),
    known("answer_following", "on while it rises", session(s.line(), confidence=RISING), 1.0),
    known("answer_following", "on though it falls", session(s.line(), confidence=RISING[::-1]), -1.0),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.feature}: {case.why}")
def test_feature_has_its_known_value(case: Known) -> None:
    value = measure(case.batch, case.units).last[case.feature]
    assert case.low <= value <= case.high


def test_every_feature_has_known_answers() -> None:
    assert {case.feature for case in CASES} == set(NAMES)


def test_exact_repeats_change_no_other_feature() -> None:
    """Retries, health checks and replayed pools: geometry is that of the distinct inputs."""
    x = s.walk(40)
    pool = np.vstack([x[:12], np.tile(x[9:12], (50, 1)), x[12:], np.tile(x[30:40], (5, 1))])
    plain, repeated = measure(session(x)), measure(session(pool))
    assert len(plain.rows) == len(repeated.rows)
    for one, other in zip(plain.rows, repeated.rows, strict=True):
        changed = {name for name in NAMES if not np.array_equal(one[name], other[name], equal_nan=True)}
        assert changed <= {"exact_duplicates"}
    assert repeated.rows[2]["exact_duplicates"] > 0.7


def test_few_inputs_in_turn_are_never_evaluated() -> None:
    assert measure(session(np.tile(s.far_apart(4), (100, 1)))).rows == []
    assert measure(session(np.ones((100, 3)))).rows == []


def test_values_that_no_benign_query_had_are_off_the_grid() -> None:
    rng = np.random.default_rng(0)
    sample = np.hstack([rng.integers(0, 3, (400, 4)), rng.random((400, 4))]).astype(np.float64)
    units = learn(sample)
    assert measure(session(sample), units).last["off_grid"] == 0.0
    odd = sample[:200].copy()
    odd[:, 0] = 0.5  # between the values of a discrete column
    odd[:, 1] = 3.0  # one too high
    odd[:, 5] = 1.3  # out of a continuous column's range
    odd[:, 6] = 1.05  # just beyond it, within the margin
    assert measure(session(odd), units).last["off_grid"] == pytest.approx(3 / 8, abs=1e-4)


@pytest.mark.parametrize(("step", "offset"), [(1.0, 0.0), (1 / 255, 0.0), (0.05, -3.02), (1e-7, 2.0)])
def test_values_between_the_even_steps_of_benign_ones_are_off_the_grid(step: float, offset: float) -> None:
    """Grey values, prices and the like: more values than a list holds, but none between them."""
    rng = np.random.default_rng(0)
    sample = np.round(rng.integers(0, 256, (1500, 6)) * step + offset, 12)
    sample[::9] += step * rng.random((167, 6))  # some honest clients send computed numbers
    units = learn(sample)
    fresh = np.asarray(rng.integers(0, 256, (200, 6)) * step + offset, dtype=np.float64)
    assert measure(session(fresh), units).last["off_grid"] == 0.0
    fresh[:, :3] += 0.3 * step
    assert measure(session(fresh), units).last["off_grid"] == pytest.approx(0.5, abs=0.02)


def test_noise_lies_further_off_the_manifold_than_benign_inputs() -> None:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(3, 24))
    benign = rng.normal(size=(700, 3)) @ directions + 0.01 * rng.normal(size=(700, 24))
    units = learn(benign[:500])
    noise = rng.normal(size=(200, 24)) * benign.std(axis=0)
    near = measure(session(benign[500:]), units).last["off_manifold"]
    far = measure(session(noise), units).last["off_manifold"]
    assert near < np.log(0.02)
    assert far == pytest.approx(-0.4, abs=0.2)


def test_distances_are_in_units_of_the_typical_benign_distance() -> None:
    rng = np.random.default_rng(2)
    scales = np.array([1e-4, 1.0, 50.0, 3e6] * 8)
    benign = rng.normal(size=(900, 32)) * scales + 10.0 * scales
    row = measure(session(benign[500:]), learn(benign[:500])).last
    assert row["step_length"] == pytest.approx(0.0, abs=0.1)
    assert row["near_duplicates"] == 0.0


def test_only_the_answer_given_by_most_recent_queries_counts() -> None:
    """An attack that begins late shows as clearly as one from the start."""
    x = np.vstack([s.far_apart(400), 5.0 + s.walk(80)])
    labels = np.r_[np.zeros(400), np.arange(80) % 2].astype(np.int64)
    row = measure(session(x, labels=labels)).last
    assert row["near_duplicates"] > 0.95
    assert row["close_flips"] > 0.95


def test_a_class_number_beyond_the_accumulators_is_folded() -> None:
    p = np.full((200, 40), 0.01)
    p[:, 39] = np.linspace(0.02, 0.6, 200)
    row = measure(session(STILL, p)).last
    assert row["confidence_trend"] == pytest.approx(1.0, abs=1e-3)


def test_labels_that_do_not_exclude_each_other_stay_in_range() -> None:
    """Forty-eight independent outputs that go from 0 to 1 together add up to more than 1 when folded."""
    p = np.repeat(np.r_[np.zeros(184), np.ones(16)][:, None], 48, axis=1)
    assert measure(session(STILL, p)).last["confidence_drift"] == pytest.approx(DRIFT / 0.8, abs=1e-3)


def test_the_first_evaluation_is_at_the_eighth_input_and_each_fourth_follows() -> None:
    assert len(measure(session(s.walk(8))).rows) == 1
    with pytest.raises(IndexError):
        _ = measure(session(s.walk(7))).last
    assert len(measure(session(s.walk(27))).rows) == 5
