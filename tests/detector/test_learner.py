"""Learning from traffic: an even sample of inputs, a window of evaluations, builds at counted points."""

from __future__ import annotations

import numpy as np
import pytest

from detector.features.catalogue import NAMES
from detector.input_sample import AGAIN, OF_OWNER, SAMPLE_QUERIES, SAMPLE_ROWS, InputSample
from detector.learner import FIRST_BUILD, Learner
from detector.profile import ModelProfile
from detector.profile import build as make_profile
from detector.rows import Rows
from tests.detector import scenario

NOBODY = np.empty(0, dtype=np.int64)


def test_a_small_sample_is_everything() -> None:
    x = np.random.default_rng(1).normal(size=(100, 3))
    sample = InputSample(3)
    sample.add(x[:40], np.arange(40))
    sample.add(x[40:], np.arange(40, 100))
    assert np.array_equal(sample.rows, x)
    assert np.array_equal(sample.balanced(NOBODY), x)


def test_a_large_sample_is_even_bounded_and_independent_of_batches() -> None:
    x = np.arange(10 * SAMPLE_ROWS, dtype=np.float64)[:, None]
    whole, cut = InputSample(1), InputSample(1)
    owners = np.arange(len(x)) // 7
    whole.add(x, owners)
    for begin in range(0, len(x), 997):
        cut.add(x[begin : begin + 997], owners[begin : begin + 997])
    assert np.array_equal(whole.rows, cut.rows)
    assert np.array_equal(whole.owners, cut.owners)
    assert np.array_equal(whole.owners, whole.rows[:, 0] // 7)
    assert whole.rows.shape == (SAMPLE_ROWS, 1)
    assert whole.seen == len(x)
    tenths = np.histogram(whole.rows, bins=10, range=(0, len(x)))[0]
    assert tenths == pytest.approx(SAMPLE_ROWS / 10, rel=0.2)


def test_long_inputs_are_sampled_thinly() -> None:
    sample = InputSample(1 << 17)
    sample.add(np.zeros((200, 1 << 17)), np.zeros(200, dtype=np.int64))
    assert len(sample.rows) == 64
    fewer = InputSample(64, 64 * 100)
    fewer.add(np.zeros((200, 64)), np.zeros(200, dtype=np.int64))
    assert len(fewer.rows) == len(fewer.owners) == 100


def test_one_long_search_does_not_bend_the_units() -> None:
    honest = np.repeat(np.arange(60), 10)
    sample = InputSample(1)
    sample.add(np.zeros((600, 1)), honest)
    sample.add(np.ones((400, 1)), np.full(400, 60))
    kept = sample.balanced(NOBODY)[:, 0]
    assert (kept == 0).sum() == 600
    assert (kept == 1).sum() == OF_OWNER


def test_who_alerted_does_not_teach_the_units() -> None:
    sample = InputSample(1)
    sample.add(np.arange(300.0)[:, None], np.arange(300) // 100)
    kept = sample.balanced(np.array([1], dtype=np.int64))[:, 0]
    assert not ((kept >= 100) & (kept < 200)).any()
    everybody = sample.balanced(np.arange(3, dtype=np.int64))
    assert len(everybody) == 300


def test_units_are_learned_at_counted_queries() -> None:
    sample, learned = InputSample(1), []
    while room := sample.room():
        assert sample.enough == (sample.seen >= SAMPLE_QUERIES)
        sample.add(np.zeros((room, 1)), np.zeros(room, dtype=np.int64))
        learned.append(sample.seen)
    assert learned == [SAMPLE_QUERIES, AGAIN]


@pytest.mark.parametrize("clients", [1, 2, 5])
def test_units_never_rest_on_a_few_rows(clients: int) -> None:
    sample = InputSample(1)
    sample.add(np.zeros((1000, 1)), np.arange(1000) % clients)
    assert 500 <= len(sample.balanced(NOBODY)) <= 1000


def points(n: int, seed: int = 1, per_session: int = 5) -> Rows:
    rows = np.arange(n, dtype=np.int64)
    sessions = rows // per_session
    features = np.random.default_rng(seed).random((n, len(NAMES)))
    return Rows(features, sessions, sessions // 2, rows % per_session + 1)


def test_the_window_keeps_the_newest() -> None:
    rows = points(3000)
    learner = Learner(window=1000)
    for row in range(1000):
        learner.add(rows.where(np.arange(3000) // 3 == row))
    for kept, column in zip(learner.clean(), rows, strict=True):
        assert np.array_equal(kept, column[-1000:])


def test_what_is_added_is_copied() -> None:
    rows = points(10)
    learner = Learner()
    learner.add(rows)
    rows.features[:] = -1.0
    assert (learner.clean().features >= 0.0).all()


def test_builds_come_at_each_doubling_and_then_each_window() -> None:
    judge = scenario.profiles("toy")["toy"]
    learner = Learner(window=4 * FIRST_BUILD)
    due = []
    while learner.points < 16 * FIRST_BUILD:
        rows = points(FIRST_BUILD)
        learner.add(rows)
        if learner.room() == 0:
            due.append(learner.points // FIRST_BUILD)
            learner.alerted = set(rows.entities.tolist())  # nothing may teach, so that building costs nothing
            assert learner.build(judge.inputs, judge, 1000, 0.1) is None
    assert due == [1, 2, 4, 8, 12, 16]
    assert Learner(build=False).room() > 1e15


@pytest.mark.parametrize(
    ("per_session", "tries"),
    [
        (5, [1024]),  # 204 sessions
        (8, [1024, 1280, 1600]),  # 200
        (16, [1024, 1280, 1600, 2000, 2500, 3125, 3906]),  # 244
        (36, [1024, 1280, 1600, 2000, 2500, 3125, 3906, 4882]),  # 135, and points enough
    ],
)
def test_a_first_profile_is_tried_again_soon_where_the_sessions_are_too_few(
    per_session: int, tries: list[int]
) -> None:
    inputs = scenario.profiles("toy")["toy"].inputs
    learner = Learner()
    tried: list[int] = []
    made: ModelProfile | None = None
    while made is None:
        rows = points(learner.room(), seed=len(tried), per_session=per_session)
        first = learner.points // per_session
        learner.add(Rows(rows.features, rows.entities + first, rows.owners + first, rows.points))
        tried.append(learner.points)
        made = learner.build(inputs, None, 1000, 0.1)
    assert tried == tries
    assert made.sequence == 1
    assert learner.room() == learner.points  # the next one follows when the points are twice as many


def test_in_new_units_a_first_profile_is_due_as_soon_as_at_first() -> None:
    learner = Learner()
    learner.add(points(FIRST_BUILD, per_session=64))
    assert learner.build(scenario.profiles("toy")["toy"].inputs, None, 1000, 0.1) is None
    learner.add(points(100))
    learner.measure_anew()
    assert learner.room() == FIRST_BUILD
    never = Learner(build=False)
    never.measure_anew()
    assert never.room() > 1e15


def test_sessions_that_alerted_leave_the_window() -> None:
    learner = Learner()
    learner.add(points(100))
    learner.alerted = {3, 7}
    kept = learner.clean()
    assert set(kept.entities.tolist()) == set(range(20)) - {3, 7}
    assert len(kept.features) == 90


def build(sessions: int, judge: ModelProfile | None) -> ModelProfile | None:
    learner = Learner()
    learner.add(points(5 * sessions))
    return learner.build(scenario.profiles("toy")["toy"].inputs, judge, sessions, 0.1)


def test_a_profile_never_rests_on_less_than_half_of_the_one_before() -> None:
    judge = make_profile(1, scenario.profiles("toy")["toy"].inputs, points(1250), 250)
    assert judge is not None
    assert judge.tail.sessions == 250
    assert build(124, judge) is None
    following = build(127, judge)  # one or two look odd by chance and are left out
    assert following is not None
    assert following.sequence == judge.sequence + 1
    first = build(204, None)
    assert first is not None
    assert first.sequence == 1
    assert build(199, None) is None


def test_a_renewed_profile_keeps_the_habits_that_came_with_the_one_before() -> None:
    fitted = scenario.profiles("toy")["toy"]
    judge = make_profile(1, fitted.inputs, points(1250), 250, known=fitted.habits)
    renewed = build(250, judge)
    assert judge is not None and renewed is not None and renewed.sequence == 2
    assert len(renewed.habits.keys) > 10
    np.testing.assert_array_equal(renewed.habits.keys, fitted.habits.keys)
    first = build(310, None)
    assert first is not None and len(first.habits.keys) == 0


def test_a_saved_learner_goes_on() -> None:
    rows = points(900)
    learner = Learner(window=500)
    learner.add(rows.where(np.arange(900) < 700))
    learner.alerted = {130}
    copy = Learner.from_state(*learner.state())
    for both in (learner, copy):
        both.add(rows.where(np.arange(900) >= 700))
    assert copy.room() == learner.room() == FIRST_BUILD - 900
    assert all(np.array_equal(a, b) for a, b in zip(copy.clean(), learner.clean(), strict=True))
