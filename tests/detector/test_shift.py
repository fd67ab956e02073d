"""Who teaches to look away: many accounts with the beginnings of attacks, seen by the profile in force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from detector.features.catalogue import NAMES
from detector.learner import FIRST_BUILD, Learner
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.query import Record
from detector.rows import NO_ROWS, Rows
from detector.settings import Settings
from detector.shift import RARE, Shift, attack_like
from tests import traffic
from tests.detector import scenario

SECONDS = 5_000.0
"""Over which the honest sessions of a log of 1,000 begin."""
ATTACKS = 4


def learned(*logs: Iterable[dict[str, Any]]) -> Shard:
    """A shard with a fitted profile that went on learning from these logs, without an alert."""
    shard = Shard(Settings(), scenario.profiles("toy"), source="log", partition=0)
    assert shard.process(scenario.records(*logs)).alerts == []
    return shard


def model(shard: Shard) -> tuple[ModelProfile, Learner]:
    state = shard.models["toy"]
    assert state.learner is not None
    assert state.profile is not None
    return state.profile, state.learner


def found(shard: Shard) -> int:
    """How many of some attacks afterwards raise an alert."""
    attacks = [traffic.inversion(seed=n, at=traffic.START + 2.0 * SECONDS) for n in range(ATTACKS)]
    records = [
        Record(**query, offset=shard.next_offset + n) for n, query in enumerate(traffic.mixed(*attacks))
    ]
    alerts = shard.process(records).alerts
    return len({a.document["user"]["id"] for a in alerts if "user" in a.document})


@pytest.fixture(scope="module")
def honest() -> list[dict[str, Any]]:
    return traffic.benign(1000, seed=2)


def test_honest_traffic_teaches(honest: list[dict[str, Any]]) -> None:
    shard = learned(honest)
    profile, learner = model(shard)
    assert profile.sequence > 1
    assert not learner.shift.held
    assert found(shard) == ATTACKS


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_many_accounts_that_begin_attacks_do_not_blind_it(honest: list[dict[str, Any]], share: float) -> None:
    sessions = int(1000 * share / (1.0 - share))
    shard = learned(honest, traffic.beginnings(sessions, 1500, seconds=SECONDS))
    profile, learner = model(shard)
    assert profile.sequence == 1
    assert learner.shift.held
    assert found(shard) == ATTACKS


def test_a_few_of_them_teach_nothing_but_hold_nothing_up(honest: list[dict[str, Any]]) -> None:
    # Early in the log, so that the first build sees them.
    shard = learned(honest, traffic.beginnings(6, 6, seconds=SECONDS / 10))
    profile, learner = model(shard)
    assert profile.sequence > 1
    assert not learner.shift.held
    assert len(learner.alerted) >= 6
    assert not set(learner.clean().entities.tolist()) & learner.alerted


def test_it_goes_on_after_a_restart(honest: list[dict[str, Any]]) -> None:
    shard = learned(honest, traffic.beginnings(200, 200, seconds=SECONDS))
    copy = scenario.saved(shard, Settings(), scenario.profiles("toy"))
    (_, before), (_, after) = model(shard), model(copy)
    assert after.shift.held
    assert after.shift.excess == before.shift.excess > 0.0
    assert after.state()[0] == before.state()[0]


def test_the_first_profiles_do_not_say_who_may_teach() -> None:
    judge = scenario.profiles("toy")["toy"]
    rng = np.random.default_rng(1)
    learner = Learner(window=4 * FIRST_BUILD)
    made, excess = [], []
    for present in (None, judge, judge, judge):
        while learner.room():
            # Nothing like the toy traffic: to its profile all of it looks like attacks.
            x = rng.random((FIRST_BUILD, len(NAMES)))
            serials = learner.points + np.arange(FIRST_BUILD, dtype=np.int64) // 3
            learner.add(Rows(x, serials, serials, np.ones(FIRST_BUILD, dtype=np.int64)))
        made.append(learner.build(judge.inputs, present, 100_000, 0.1))
        excess.append(learner.shift.excess)
    assert [profile is not None for profile in made] == [True, True, True, False]
    assert excess[:3] == [0.0, 0.0, 0.0]
    assert learner.shift.held


def looks(rates: Iterable[float], sessions: int = 1500, seed: int = 1) -> list[bool]:
    """Whether each look holds the profile, with that share of attack-like sessions."""
    rng, shift = np.random.default_rng(seed), Shift()
    return [shift.account(int(rng.binomial(sessions, rate)), sessions) for rate in rates]


@pytest.mark.parametrize("sessions", [300, 1500, 5000])
def test_as_many_as_are_usual_hold_nothing(sessions: int) -> None:
    for seed in range(50):
        assert not any(looks([0.5 * RARE] * 40, sessions, seed))


def test_a_share_that_grows_in_small_steps_is_held_before_it_is_large() -> None:
    rates = np.linspace(0.5 * RARE, 5.0 * RARE, 60)
    for seed in range(50):
        assert rates[looks(rates, seed=seed).index(True)] < 3.0 * RARE


def test_when_it_is_over_the_profile_is_renewed_again_soon() -> None:
    held = looks([0.3] * 20 + [0.3 * RARE] * 10)
    assert held[:20] == [True] * 20
    assert held[-1] is False
    assert sum(held) <= 24


def test_no_evaluation_points_are_no_sessions() -> None:
    profile = scenario.profiles("toy")["toy"]
    shift = Shift(excess=3.0)
    assert len(shift.look(profile, NO_ROWS)) == 0
    assert shift.excess == 3.0
    assert len(attack_like(profile, NO_ROWS)) == 0
