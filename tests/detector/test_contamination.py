"""Histories that hold attacks: the profile learned from them is as good as one learned without."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.contamination import thinned
from detector.pipeline import Shard
from detector.policy import SESSION
from detector.profile import ModelProfile
from detector.query import Record
from tests import traffic
from tests.detector import scenario

SESSIONS = 400


@cache
def fitted(attacks: int) -> ModelProfile:
    """A profile from benign sessions and so many attacks among them."""
    return scenario.fit(scenario.records(scenario.benign(SESSIONS, seed=1), *searches(attacks, 500)))["toy"]


def searches(count: int, seed: int) -> list[list[dict[str, Any]]]:
    """So many inversions, one after the other all through the log."""
    starts = traffic.START + np.linspace(0.0, 5.0 * SESSIONS, count)
    return [traffic.inversion(seed=seed + n, at=float(at)) for n, at in enumerate(starts)]


def sessions_that_alert(profile: ModelProfile, log: list[Record]) -> int:
    shard = Shard(scenario.FROZEN, {"toy": profile})
    return len({alert.document["user"]["id"] for alert in shard.process(log).alerts})


@pytest.mark.parametrize("attacks", [4, 20])
def test_attacks_in_the_history_hardly_move_the_threshold_and_are_told(attacks: int) -> None:
    """1 and 5% of the sessions, and each is as long as ten honest ones."""
    clean, poisoned = fitted(0), fitted(attacks)
    assert clean.suspects == 0
    assert 0.9 * attacks <= poisoned.suspects <= attacks
    assert poisoned.thresholds(1.0)[SESSION] == pytest.approx(clean.thresholds(1.0)[SESSION], rel=0.25)


def test_attacks_are_found_whatever_the_history_held() -> None:
    log = scenario.records(scenario.benign(60, seed=3), *searches(5, 900))
    assert sessions_that_alert(fitted(0), log) == sessions_that_alert(fitted(20), log) == 5


def test_rare_honest_kinds_are_not_taken_for_attacks() -> None:
    log = scenario.records(
        scenario.benign(SESSIONS, seed=5),
        *(scenario.what_if(seed=700 + n, queries=200) for n in range(3)),
        *(scenario.health_checks(seed=800 + n, queries=200) for n in range(3)),
    )
    # Grids of 200 edits are how a search along columns looks; one of the three still teaches.
    assert scenario.fit(log)["toy"].suspects <= 2


@settings(max_examples=100)
@given(st.lists(st.integers(0, 5), max_size=300), st.integers(2, 20))
def test_long_sessions_are_thinned_evenly(entities: list[int], most: int) -> None:
    rows = np.array(entities, dtype=np.int64)
    keep = thinned(rows, most)
    for entity in set(entities):
        mine = np.flatnonzero(rows == entity)
        kept = np.flatnonzero(keep[mine])
        assert len(kept) == min(len(mine), most)
        assert kept[0] == 0 and kept[-1] == len(mine) - 1
        assert np.diff(kept).max(initial=0) <= -(-len(mine) // (most - 1))
