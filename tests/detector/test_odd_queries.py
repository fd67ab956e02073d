"""A session's odd queries as an entity: a search among ordinary queries is found by them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from detector.odd_queries import FOLLOWED_FROM, find_odd
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.settings import Settings
from detector.shard_state import dump
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, lines, records, saved

DUMMIES = 20
"""Ordinary queries before each one of the search."""
NEARER = 0.12
"""The search is not so far from what is usual that one query in twenty-one gives the session away."""


@cache
def profiles() -> dict[str, ModelProfile]:
    """Fitted on sessions of which some are long enough to tell how honest clients' odd queries look."""
    return scenario.fit(
        records(scenario.benign(250, seed=1), traffic.benign(30, seed=5, queries=400)),
    )


def hidden(queries: int = 80) -> list[dict[str, Any]]:
    """A search, each query behind some ordinary ones in the same session."""
    search = [
        query | {"input": x.tolist(), "probabilities": traffic.answer(x)}
        for query in traffic.inversion(seed=3, queries=queries)
        for x in [np.round(NEARER * np.array(query["input"]), 6)]
    ]
    x = traffic.draw(np.random.default_rng(4), DUMMIES * queries)
    out = []
    for n, query in enumerate(search):
        for k in range(DUMMIES):
            ordinary = {
                "timestamp": query["timestamp"] + (n * DUMMIES + k) * 1.0,
                "input": [round(float(v), 6) for v in x[n * DUMMIES + k]],
                "probabilities": traffic.answer(x[n * DUMMIES + k]),
                "request_id": f"dummy-{n}-{k}",
            }
            out.append(query | ordinary)
        out.append(query | {"timestamp": query["timestamp"] + (n + 1) * DUMMIES - 0.5})
    return out


def test_a_search_among_ordinary_queries_is_found_by_its_odd_ones() -> None:
    found = [alert.document for alert in Shard(FROZEN, profiles()).process(records(hidden())).alerts]
    assert len({document["event"]["id"] for document in found}) == 1
    first = found[0]
    assert first["rule"]["id"] == "querywatch-odd-search"
    assert first["querywatch"]["entity"] == {"kind": "session", "id": "attack-3"}
    told = first["querywatch"]["session"]
    assert told["id"] == "attack-3"
    assert told["odd_queries"] < len(hidden()) // 4
    assert "unusual queries of one session to toy" in first["event"]["reason"]


def test_a_plain_search_is_told_once() -> None:
    found = Shard(FROZEN, profiles()).process(records(traffic.inversion(seed=3))).alerts
    assert {alert.document["rule"]["id"] for alert in found} == {"querywatch-session-search"}
    assert len({alert.document["event"]["id"] for alert in found}) == 1


def test_honest_sessions_do_not_alert() -> None:
    log = records(scenario.benign(200, seed=2), traffic.benign(20, seed=6, queries=400))
    assert Shard(FROZEN, profiles()).process(log).alerts == []


@pytest.mark.parametrize("settings", [FROZEN, Settings(), Settings(memory=150_000, learn=False)], ids=str)
def test_batches_and_saves_change_no_byte(settings: Settings) -> None:
    log = records(scenario.benign(60, seed=2), hidden(40), traffic.inversion(seed=9, at=traffic.START + 9.0))
    whole = Shard(settings, profiles())
    expected = lines(whole.process(log).alerts)
    cut = Shard(settings, profiles())
    assert lines(in_batches(cut, log, 37).alerts) == expected != []
    assert dump(cut) == dump(whole)
    restored = Shard(settings, profiles())
    found = []
    for begin in range(0, len(log), 311):
        restored = saved(restored, settings, profiles())
        found += lines(restored.process(log[begin : begin + 311]).alerts)
    assert found == expected
    assert dump(restored) == dump(whole)


def test_following_begins_anew_after_a_silence() -> None:
    """The slot stays with the session's slot, the queries before the silence count no more."""
    search = traffic.inversion(seed=3, queries=60)
    quiet = [
        query | {"session_id": "", "timestamp": query["timestamp"] + (n // 15) * 2 * FROZEN.gap}
        for n, query in enumerate(search)
    ]
    shard = Shard(FROZEN, profiles())
    shard.process(records(quiet))
    odd = shard.models["toy"].odd
    slots = odd.slots.slot_of[odd.slots.slot_of >= 0]
    assert len(slots) == 1
    assert odd.entities.slots.counts[slots[0], 0] == 15 - FOLLOWED_FROM + 1
    assert odd.entities.counters[0] == 4


def test_repeats_and_usual_queries_are_not_followed() -> None:
    usual = [[np.nan, np.nan], [0.0, 0.0]]
    odd = np.array([[2.0, 0.0], *usual, [0.0, 2.0], *usual, *[[2.0, 2.0]] * FOLLOWED_FROM])
    n = len(odd)
    slot, begins = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    count, slot_of = np.zeros(1, dtype=np.int8), np.full(1, -1, dtype=np.int32)
    seen, free, unused = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.array([1])
    session, fresh = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    bars = np.array([1.0, 1.0])
    done = find_odd(0, n, 100, session, fresh, odd, bars, count, slot_of, seen, free, unused, slot, begins)
    assert done == n
    before = 2 * len(usual) + FOLLOWED_FROM - 1
    assert slot.tolist() == [-1] * before + [0] * 3
    assert begins.tolist() == [False] * before + [True] + [False] * 2
    assert (int(seen[0]), int(unused[0])) == (100 + n - 1, 0)
