"""Policy: one message an episode, revisions when it grows or worsens, and the series that is shown."""

from __future__ import annotations

import numpy as np
import pytest

from detector import habits, links, policy, pool
from detector.evidence import DRIFT, LATE, LEAK
from detector.features.catalogue import NAMES
from detector.features.layout import EVERY, FIRST_EVALUATION, RECENT
from detector.policy import CRITICAL, HIGH, LONG, MOST_REVISIONS, NOTHING, RAISE, REVISE, Judged
from detector.query import FloatArray, IntArray
from detector.suspicion import (
    LEVEL,
    OPEN,
    REVISION,
    SERIES,
    SHOWN_FROM,
    Episodes,
    allocate,
    feature_means,
    keep,
    mean_opinion,
    recent_series,
)

THRESHOLD = 10.0
Message = tuple[int, int, int]
Bars = float | FloatArray


def judged(
    slots: IntArray,
    times: FloatArray,
    meta: FloatArray,
    scores: list[float],
    series: FloatArray,
    features: FloatArray | None = None,
) -> Judged:
    """Evaluation points of sessions of one client."""
    n = len(slots)
    zeros = np.zeros(n, dtype=np.int64)
    seen = np.zeros((n, len(NAMES))) if features is None else features
    return Judged(
        zeros, slots, zeros, np.arange(n), times, meta, seen, np.array(scores), series, zeros, zeros, 0
    )


def judge(
    episodes: Episodes,
    threshold: Bars,
    points: Judged,
    at: int,
    suppressed: IntArray | None = None,
) -> tuple[int, int]:
    """Judge sessions, where nothing was heard of any client's other entities."""
    heard = np.full((1, policy.KINDS), -1, dtype=np.int64)
    quiet = np.zeros(1, dtype=np.int64) if suppressed is None else suppressed
    kinds = (episodes, *[allocate(1)] * (policy.KINDS - 1))
    point, event = policy.judge(
        kinds,
        np.full((policy.KINDS, 2), threshold),
        heard,
        habits.none_of(1),
        links.allocate(1, 1, 1),
        points,
        at,
        quiet,
    )
    return int(point), int(event)


def play(
    scores: list[float],
    threshold: Bars = THRESHOLD,
    episodes: Episodes | None = None,
    first: int = 0,
) -> tuple[list[Message], Episodes]:
    """One session's scores through the policy; its messages as (queries, event, level)."""
    episodes = episodes or allocate(1)
    n = len(scores)
    meta = np.zeros((n, 4))
    meta[:, 0] = meta[:, 3] = FIRST_EVALUATION + EVERY * (first + np.arange(n))
    series = np.zeros((n, RECENT, 2))
    for m in range(n):
        queries = meta[m, 0] - RECENT + 1 + np.arange(RECENT)
        series[m, :, 0], series[m, :, 1] = queries / 1e4, queries
    slots, times = np.zeros(n, dtype=np.int64), 1000.0 + meta[:, 0]
    messages: list[Message] = []
    at = 0
    points = judged(slots, times, meta, scores, series)
    while True:
        at, event = judge(episodes, threshold, points, at)
        if event == NOTHING:
            return messages, episodes
        messages.append((int(meta[at, 0]), event, int(episodes.counts[0, LEVEL])))
        at += 1


def reaching(*evidence: float) -> list[float]:
    """Scores that take the evidence to these values, one after the other."""
    scores, now = [], 0.0
    for value in evidence:
        scores.append(value - LEAK * now + DRIFT)
        now = value
    return scores


def test_below_the_threshold_there_is_no_message() -> None:
    assert play(reaching(*[0.99 * THRESHOLD] * 200))[0] == []


def test_no_profile_means_no_message() -> None:
    assert play([50.0] * 20, threshold=float("inf"))[0] == []
    assert play([float("nan")] * 20)[0] == []


def test_one_alert_and_each_doubling_revises() -> None:
    messages, _ = play(reaching(*[1.1 * THRESHOLD] * 100))
    assert messages == [(8, RAISE, 0), *[(8 * 2**k, REVISE, 0) for k in range(1, 6)]]


def test_a_higher_severity_revises_at_once_and_never_falls() -> None:
    high, critical = 1.01 * HIGH * THRESHOLD, 1.01 * CRITICAL * THRESHOLD
    messages, _ = play(reaching(THRESHOLD, high, critical, high, THRESHOLD, critical))
    assert messages == [(8, RAISE, 0), (12, REVISE, 1), (16, REVISE, 2)]
    grown, _ = play(reaching(critical, *[1.1 * THRESHOLD] * 30))
    assert grown == [(8, RAISE, 2), *[(8 * 2**k, REVISE, 2) for k in range(1, 5)]]


def test_revisions_end() -> None:
    messages, episodes = play(reaching(1.1 * THRESHOLD))
    steady = reaching(*[1.1 * THRESHOLD] * 2)[1:]
    for power in range(1, MOST_REVISIONS + 3):
        grown = (FIRST_EVALUATION * 4**power - FIRST_EVALUATION) // EVERY
        messages += play(steady, episodes=episodes, first=grown)[0]
    assert [event for _, event, _ in messages] == [RAISE] + [REVISE] * MOST_REVISIONS


@pytest.mark.parametrize(("quiet", "alerts"), [(0.51, 1), (0.49, 2)])
def test_a_new_episode_begins_after_the_last_went_quiet(quiet: float, alerts: int) -> None:
    evidence = [1.1 * THRESHOLD, quiet * THRESHOLD, 1.1 * THRESHOLD]
    messages, episodes = play(reaching(*evidence))
    assert [event for _, event, _ in messages] == [RAISE, REVISE if alerts == 1 else RAISE]
    assert episodes.began[0] == 1000.0 + (8 if alerts == 1 else 16)
    assert episodes.counts[0, REVISION] == 2 - alerts


def test_growth_counts_queries_and_sessions_begin_by_distinct_inputs() -> None:
    """A session of repeats is evaluated seldom, but its length is what a person reads."""
    episodes = allocate(1)
    meta = np.array([[8.0, 0.0, 1.0, 100.0], [12.0, 0.0, 1.0, 199.0], [16.0, 0.0, 1.0, 200.0]])
    slots, series = np.zeros(3, dtype=np.int64), np.zeros((3, RECENT, 2))
    points = judged(slots, np.zeros(3), meta, reaching(*[1.1 * THRESHOLD] * 3), series)
    suppressed = np.zeros(1, dtype=np.int64)
    found = [judge(episodes, THRESHOLD, points, at, suppressed) for at in (0, 1)]
    assert found == [(0, RAISE), (2, REVISE)]
    assert suppressed[0] == 1


def test_a_new_session_in_the_slot_knows_nothing_of_the_last() -> None:
    _, episodes = play(reaching(*[1.1 * THRESHOLD] * 30))
    messages, _ = play(reaching(0.9 * THRESHOLD, 1.1 * THRESHOLD), episodes=episodes)
    assert messages == [(12, RAISE, 0)]
    confidence, distance = recent_series(episodes, 0)
    assert distance == [float(n) for n in range(1, 13)]
    assert len(confidence) == 12


@pytest.mark.parametrize("points", [1, 2, 14, 15, 16, 40])
def test_the_series_holds_the_last_queries_in_order(points: int) -> None:
    _, episodes = play(reaching(*[0.2 * THRESHOLD] * points))
    confidence, distance = recent_series(episodes, 0)
    queries = FIRST_EVALUATION + EVERY * (points - 1)
    expected = list(range(max(1, queries - SERIES + 1), queries + 1))
    assert distance == expected
    assert confidence == pytest.approx([n / 1e4 for n in expected], abs=1e-5)
    assert len(distance) <= SERIES == 64


def test_the_series_says_what_is_unknown() -> None:
    episodes = allocate(2)
    series = np.full((1, RECENT, 2), np.nan)
    series[0, -1] = 0.25, 3.0
    meta = np.array([[float(FIRST_EVALUATION), 0.0, 1.0, 9.0]])
    judge(episodes, 1.0, judged(np.array([1]), np.array([0.0]), meta, reaching(0.5), series), 0)
    assert recent_series(episodes, 1) == ([None] * 7 + [0.25], [None] * 7 + [3.0])
    assert recent_series(episodes, 0) == ([], [])


def test_a_series_is_kept_while_the_evidence_is_worth_it() -> None:
    little, enough = (share * SHOWN_FROM * THRESHOLD for share in (0.9, 1.1))
    _, episodes = play(reaching(little, little, enough, enough))
    queries = FIRST_EVALUATION + 3 * EVERY
    newest = list(range(queries - RECENT - EVERY + 1, queries + 1))
    assert recent_series(episodes, 0)[1] == newest
    assert episodes.blocks.lent == 1
    play([0.0] * 40, episodes=episodes, first=4)
    assert recent_series(episodes, 0) == ([], [])
    assert episodes.blocks.lent == 0


def test_without_a_block_for_its_series_a_session_alerts_all_the_same() -> None:
    episodes = allocate(1)
    episodes.blocks.counters[pool.BOUND] = 0
    messages, _ = play(reaching(1.1 * THRESHOLD), episodes=episodes)
    assert messages == [(8, RAISE, 0)]
    assert recent_series(episodes, 0) == ([], [])


def test_the_means_are_those_of_the_points_since_the_evidence_was_worth_it() -> None:
    episodes, n = allocate(1), 6
    little, enough = (share * SHOWN_FROM * THRESHOLD for share in (0.9, 1.1))
    meta = np.zeros((n, 4))
    meta[:, 0] = meta[:, 3] = FIRST_EVALUATION + EVERY * np.arange(n)
    features = np.arange(n)[:, None] + np.zeros((n, len(NAMES)))
    features[2, 1], features[3:5, 2] = np.nan, np.nan
    features[:, 3] = np.nan
    points = judged(
        np.zeros(n, dtype=np.int64),
        meta[:, 0],
        meta,
        reaching(little, little, *[enough] * 4),
        np.zeros((n, RECENT, 2)),
        features,
    )
    judge(episodes, THRESHOLD, points, 0)
    means = feature_means(episodes, 0)
    assert means is not None
    assert means[0] == pytest.approx(np.mean([2, 3, 4, 5]))
    assert means[1] == pytest.approx((3.0 + (4 - 3) / 3) + (5 - (3.0 + 1 / 3)) / 4)  # first known at 3
    assert means[2] == pytest.approx(2.0 + (5 - 2.0) / 4)  # what is unknown moves nothing
    assert np.isnan(means[3])
    assert feature_means(allocate(1), 0) is None


def test_the_opinion_is_the_mean_of_those_at_the_messages_of_the_episode() -> None:
    episodes = allocate(1)
    one, other = np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 0.25, 0.25, 0.5])
    assert mean_opinion(episodes, 0, one).tolist() == one.tolist()  # no block: nothing is kept
    episodes.blocks.counters[pool.BOUND] = 1
    keep(episodes, 0, np.zeros((RECENT, 2)), np.zeros(len(NAMES)), True)
    for revision, shares in enumerate((one, other, other)):
        episodes.counts[0, REVISION] = revision
        mean = mean_opinion(episodes, 0, shares)
    np.testing.assert_allclose(mean, (one + 2 * other) / 3, rtol=1e-6)
    episodes.counts[0, REVISION] = 0
    assert mean_opinion(episodes, 0, other).tolist() == other.tolist()  # another episode
    keep(episodes, 0, np.zeros((RECENT, 2)), np.zeros(len(NAMES)), False)
    keep(episodes, 0, np.zeros((RECENT, 2)), np.zeros(len(NAMES)), True)
    episodes.counts[0, REVISION] = 1
    assert mean_opinion(episodes, 0, one).tolist() == one.tolist()  # lent anew, nothing is left in it


def test_long_sessions_have_a_threshold_of_their_own() -> None:
    bars, before = np.array([THRESHOLD, 3.0 * THRESHOLD]), LATE - 1
    calm, over = [0.2 * THRESHOLD] * before, 1.1 * THRESHOLD
    assert play(reaching(*calm, over), bars)[0] == [(LONG - EVERY, RAISE, 0)]
    assert play(reaching(*calm, 0.0, *[over] * 20), bars)[0] == []
    late, episodes = play(reaching(*calm, 0.0, over, 3.3 * THRESHOLD), bars)
    assert late == [(LONG + EVERY, RAISE, 0)]
    assert episodes.counts[0, OPEN] == 2


def test_an_episode_is_judged_by_the_threshold_that_it_began_with() -> None:
    bars = np.array([THRESHOLD, 3.0 * THRESHOLD])
    over = 1.1 * THRESHOLD
    messages, episodes = play(reaching(*[over] * (2 * LATE), 0.4 * THRESHOLD, over), bars)
    assert [queries for queries, _, _ in messages] == [8, 16, 32, 64, 128]
    assert episodes.counts[0, OPEN] == 0  # it ended, and what comes now is judged as of a long session
