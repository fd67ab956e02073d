"""Evidence and the threshold that a false-alert budget buys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.evidence import (
    DRIFT,
    FIRST_POINTS,
    LATE,
    LATER_POINTS,
    LEAK,
    LIVES,
    PRIOR_EDGE,
    UNSEEN,
    SessionTail,
    Usual,
    accumulate,
    greatest_sums,
    maxima_by_age,
    session_maxima,
    tails_by_age,
)
from detector.rows import ordinals


def test_evidence_adds_up_and_forgets() -> None:
    assert accumulate(0.0, DRIFT) == 0.0
    assert accumulate(0.0, DRIFT + 3.0) == 3.0
    assert accumulate(10.0, DRIFT) == LEAK * 10.0
    assert accumulate(1.0, 0.0) == 0.0


@given(evidence=st.floats(0.0, 1e6))
def test_no_opinion_leaves_evidence_as_it_is(evidence: float) -> None:
    assert accumulate(evidence, float("nan")) == evidence


@given(score=st.floats(0.0, 20.0))
def test_a_steady_score_levels_off(score: float) -> None:
    evidence = 0.0
    for _ in range(2000):
        evidence = accumulate(evidence, score)
    assert evidence <= max(0.0, score - DRIFT) / (1.0 - LEAK) + 1e-6


def test_session_maxima_are_of_each_session_alone() -> None:
    scores = DRIFT + np.array([3.0, 1.0, -2.0, 7.0, np.nan, 0.0])
    sessions = np.array([70, 5, 70, 5, 5, 900])
    assert session_maxima(scores, sessions).tolist() == pytest.approx([LEAK * 1.0 + 7.0, 3.0, 0.0])
    assert session_maxima(np.empty(0), np.empty(0, dtype=np.int64)).tolist() == []


def test_greatest_sums_forget_and_never_fall_below_nothing() -> None:
    scores = np.array([4.0, -9.0, -3.0, 2.0, np.nan, 1.0])
    sums = greatest_sums(scores, np.array([7, 3, 7, 7, 7, 3]), 0.5)
    assert sums.tolist() == [1.0, 4.0]
    assert greatest_sums(np.array([2.0, 3.0]), np.array([1, 1]), 0.5).tolist() == [4.0]


def test_maxima_are_of_a_session_while_it_is_short_and_once_it_is_long() -> None:
    """Evidence lives on from one age to the next, its maxima are counted apart."""
    short = [DRIFT + 3.0, *[DRIFT] * (LATE - 1)]
    scores = np.array([*short, DRIFT, DRIFT + 0.5, 0.0, *short])
    sessions = np.repeat([7, 8], [LATE + 3, LATE])
    (long, alone) = maxima_by_age(scores, sessions, ordinals(sessions))
    assert long.tolist() == pytest.approx([3.0, LEAK ** (LATE + 1) * 3.0 + 0.5])
    assert alone[0] == 3.0 and np.isnan(alone[1])
    assert session_maxima(scores, sessions).tolist() == [3.0, 3.0]


def test_a_session_whose_beginning_is_not_known_any_more_is_not_short_again() -> None:
    points = np.arange(LATE + 5, LATE + 8)
    ((early, late),) = maxima_by_age(np.array([0.0, DRIFT + 1.0, 0.0]), np.full(3, 7), points)
    assert np.isnan(early)
    assert late == 1.0


def exponential(rng: np.random.Generator, sessions: int, scale: float, usual: Usual = LIVES) -> SessionTail:
    return SessionTail.fit(rng.exponential(scale, sessions), sessions, usual)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 50.0), budget=st.floats(0.01, 100.0))
def test_the_threshold_falls_as_the_budget_grows(seed: int, scale: float, budget: float) -> None:
    tail = exponential(np.random.default_rng(seed), 300, scale)
    assert tail.threshold(budget) >= tail.threshold(2.0 * budget) >= tail.edge
    if tail.share > budget / 10_000.0:  # else even the edge of the tail is rarer than that
        assert tail.threshold(budget) > tail.threshold(2.0 * budget)
        assert tail.p_value(tail.threshold(budget)) == pytest.approx(budget / 10_000.0, rel=1e-9)


def test_p_values_are_chances() -> None:
    tail = exponential(np.random.default_rng(1), 500, 4.0)
    values = [tail.p_value(evidence) for evidence in (0.0, tail.edge, 20.0, 50.0, 1e6)]
    assert values[0] == values[1] == tail.share
    assert values == sorted(values, reverse=True)
    assert 0.0 <= values[-1] < values[0] <= 1.0


@pytest.mark.parametrize(("sessions", "budget"), [(150, 10.0), (400, 10.0), (2000, 10.0), (400, 1.0)])
def test_the_budget_is_kept_in_nearly_all_deployments(sessions: int, budget: float) -> None:
    rng = np.random.default_rng(11)
    scale = 4.0
    chances = np.array(
        [np.exp(-exponential(rng, sessions, scale).threshold(budget) / scale) for _ in range(400)]
    )
    assert np.mean(chances <= budget / 10_000.0) > 0.9
    assert np.max(chances) < 10 * budget / 10_000.0


def test_fewer_sessions_buy_a_higher_threshold() -> None:
    rng = np.random.default_rng(12)
    means = [
        np.mean([exponential(rng, sessions, 4.0, Usual(10, 5.0)).threshold(1.0) for _ in range(200)])
        for sessions in (100, 400, 2000, 10_000)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] == pytest.approx(4.0 * np.log(10_000.0) * (1.0 + UNSEEN / 10_000), rel=0.15)


@pytest.mark.parametrize(("sessions", "wider"), [(100, 2.0), (400, 1.25), (1000, 1.1), (10**6, 1.0)])
def test_what_a_history_lacks_widens_its_tail(sessions: int, wider: float) -> None:
    maxima = np.random.default_rng(13).exponential(4.0, 60)
    known = SessionTail.fit(maxima, 10**9)
    tail = SessionTail.fit(maxima, sessions)
    assert tail.edge == known.edge
    assert tail.scale / known.scale == pytest.approx(wider, rel=1e-3)


def test_quiet_history_is_no_proof_of_quiet_traffic() -> None:
    tail = SessionTail.fit(np.zeros(1000), 1000)
    assert (tail.edge, tail.share, tail.sessions) == (PRIOR_EDGE, 1 / 1000, 1000)
    assert LIVES.scale < tail.scale < 3 * LIVES.scale
    assert tail.threshold(1.0) == pytest.approx(PRIOR_EDGE + tail.scale * np.log(10.0))


def test_sessions_too_short_to_be_judged_share_the_budget() -> None:
    maxima = np.random.default_rng(3).exponential(4.0, 300)
    assert SessionTail.fit(maxima, 3000).threshold(1.0) < SessionTail.fit(maxima, 300).threshold(1.0)
    assert SessionTail.fit(maxima, 3000).supported_budget() == pytest.approx(10.0)


def test_a_tail_survives_as_an_array() -> None:
    tail = exponential(np.random.default_rng(4), 321, 4.0)
    assert SessionTail.from_array(tail.to_array()) == tail


def test_without_any_long_session_the_prior_is_the_tail() -> None:
    tail = SessionTail.fit(np.empty(0), 400)
    assert (tail.edge, tail.share) == (PRIOR_EDGE, 1 / 400)
    assert tail.scale > LIVES.scale


def test_where_others_are_much_alike_a_small_history_buys_more() -> None:
    rng = np.random.default_rng(5)
    maxima = rng.exponential(FIRST_POINTS.scale, (30, 2))
    early, late = tails_by_age(maxima, 300)
    assert early.scale == pytest.approx(FIRST_POINTS.scale * (1.0 + UNSEEN / 300), rel=0.4)
    assert early.threshold(1.0) < SessionTail.fit(maxima[:, 0], 300).threshold(1.0)
    quiet = np.column_stack([maxima[:, 0], np.full(30, np.nan)])
    assert tails_by_age(quiet, 300)[1].scale > 1.3 * LATER_POINTS.scale > late.scale / 2


def test_a_large_history_shows_what_the_tail_is_like_farther_out() -> None:
    """Two kinds of sessions, one of them rarer and wilder: near the edge it hardly counts."""
    rng = np.random.default_rng(6)
    kinds = [rng.exponential(2.0, 19_000), rng.exponential(6.0, 1_000)]
    maxima = np.concatenate(kinds)
    over = np.mean(
        np.concatenate([rng.exponential(2.0, 1_900_000), rng.exponential(6.0, 100_000)])
        >= SessionTail.fit(maxima, len(maxima)).threshold(1.0)
    )
    assert over < 2e-4
