"""A regular client's own habit: earned over sessions without an alert, and never worth much."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import habits, links, policy, profile
from detector.features.catalogue import NAMES
from detector.features.layout import EVERY, FIRST_EVALUATION, RECENT
from detector.habits import (
    HIGHEST,
    KEPT,
    LEAST,
    MEMORY,
    MOST,
    NOBODY,
    OF_SESSION,
    PRIOR,
    Habits,
    Known,
    follow,
)
from detector.keys import keys_of
from detector.policy import Judged
from detector.query import FloatArray
from detector.suspicion import allocate
from tests.detector import scenario

NEVER = 1e9


def sessions_of(scores: list[list[float]], threshold: float = NEVER) -> tuple[list[float], Habits, list[int]]:
    """Sessions of one client, one after the other, through the policy: what was taken off each, the habit in
    the end, and the sessions that raised an alert."""
    own, kinds = habits.none_of(1), (allocate(len(scores)), *[allocate(1)] * (policy.KINDS - 1))
    heard = np.full((1, policy.KINDS), -1, dtype=np.int64)
    raised: list[int] = []
    for slot, session in enumerate(scores):
        n = len(session)
        zeros = np.zeros(n, dtype=np.int64)
        meta = np.zeros((n, 4))
        meta[:, 0] = meta[:, 3] = FIRST_EVALUATION + EVERY * np.arange(n)
        points = Judged(
            zeros,
            zeros + slot,
            zeros,
            np.arange(n) + 1000 * slot,
            np.arange(n, dtype=np.float64),
            meta,
            np.zeros((n, len(NAMES))),
            np.array(session),
            np.zeros((n, RECENT, 2)),
            zeros,
            zeros,
            1000 * slot,
        )
        bars, at = np.full((policy.KINDS, 2), threshold), 0
        while at < n:
            quiet = np.zeros(1, dtype=np.int64)
            at, event = policy.judge(kinds, bars, heard, own, links.allocate(1, 1, 1), points, at, quiet)
            if event == policy.RAISE:
                raised.append(slot)
            at += 1
    return kinds[0].allowed[: len(scores)].tolist(), own, raised


def test_a_habit_takes_sessions_to_earn() -> None:
    allowed, _, _ = sessions_of([[1.4] * 5] * (LEAST + 2))
    assert allowed[:LEAST] == [0.0] * LEAST
    assert 0.0 < allowed[LEAST] < allowed[LEAST + 1] < 0.4
    np.testing.assert_allclose(allowed[LEAST], 0.4 * LEAST / (LEAST + PRIOR), rtol=1e-5)


def test_usual_sessions_make_no_habit() -> None:
    allowed, _, _ = sessions_of([[0.7] * 10] * 20)
    assert allowed == [0.0] * 20


def test_who_trains_for_months_wins_little() -> None:
    allowed, own, _ = sessions_of([[HIGHEST + 90.0] * 40] * 300)
    assert max(allowed) == MOST
    assert own.points[0] <= MEMORY


def test_an_alert_takes_it_away() -> None:
    calm = [[2.4] * 6] * 10
    allowed, own, raised = sessions_of([*calm, [12.0] * 20, [2.4] * 6], threshold=30.0)
    assert allowed[9] == MOST and raised == [10]
    assert allowed[10] == MOST  # the session that raised it had begun with it
    assert allowed[11] == 0.0 and own.sessions[0] == 1


def test_only_the_beginning_of_a_session_counts() -> None:
    long = [[1.0] * OF_SESSION + [5.0] * 500] * 10
    assert sessions_of(long)[0][-1] == 0.0


def test_points_without_an_opinion_teach_nothing() -> None:
    allowed, own, _ = sessions_of([[float("nan")] * 8] * 10)
    assert allowed == [0.0] * 10 and own.points[0] == 0


@settings(max_examples=60)
@given(
    st.lists(
        st.lists(st.floats(0.0, 25.0, allow_nan=False), min_size=1, max_size=30), min_size=1, max_size=20
    )
)
def test_history_and_policy_agree_and_stay_within_bounds(scores: list[list[float]]) -> None:
    allowed, own, _ = sessions_of(scores)
    flat: FloatArray = np.array([score for session in scores for score in session])
    serials = np.repeat(np.arange(len(scores)), [len(session) for session in scores])
    taken, learned, clients = follow(flat, serials, np.full(len(flat), 7))
    first = np.unique(serials, return_index=True)[1]
    np.testing.assert_array_equal(taken[first].astype(np.float32), np.array(allowed, dtype=np.float32))
    assert (taken >= 0.0).all() and (taken <= MOST).all()
    assert clients.tolist() == [7]
    for mine, theirs in zip(own, learned, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_profile_keeps_those_with_most_sessions_and_finds_them_again() -> None:
    n = KEPT + 50
    keys = keys_of([[f"client-{i}" for i in range(n)], [""] * n])
    sessions = np.arange(n, dtype=np.int32)
    known = Known.of(keys, Habits(sessions, 2 * sessions, sessions.astype(np.float32)))
    assert len(known.keys) == KEPT
    rows, theirs = known.look_up(keys)
    assert rows.tolist() == list(range(50, n))
    np.testing.assert_array_equal(known.habits.sessions[theirs], sessions[50:])
    again = Known.from_arrays(known.to_arrays())
    np.testing.assert_array_equal(again.keys, known.keys)
    assert NOBODY.look_up(keys)[0].tolist() == []


def test_a_fitted_profile_brings_the_habits_of_its_clients() -> None:
    fitted = scenario.profiles("toy")["toy"]
    assert len(fitted.habits.keys) > 10
    restored = profile.from_bytes(profile.to_bytes({"toy": fitted}))["toy"]
    assert restored.version == fitted.version
    np.testing.assert_array_equal(restored.habits.keys, fitted.habits.keys)
    names = sorted({record.client_id for record in scenario.records(scenario.benign(250, seed=1))})
    rows, _ = fitted.habits.look_up(keys_of([names, [""] * len(names)]))
    assert len(rows) == len(fitted.habits.keys)
