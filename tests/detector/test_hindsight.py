"""In hindsight: what the first profile of a model finds in what went by before it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from detector import hindsight, suspicion
from detector.ecs import iso_time
from detector.features.inputs import Inputs
from detector.learner import FIRST_BUILD, Learner
from detector.pipeline import Shard
from detector.policy import CLIENT, KINDS, SESSION
from detector.query import Record
from detector.settings import Settings
from detector.shard_state import dump
from tests import traffic
from tests.detector import scenario

SILENT, ONLINE = Settings(prior=False), Settings()
PASSED = traffic.START + 1000.0
"""After the units of the honest log below are learned for good, and before its first profile."""


@cache
def honest() -> list[dict[str, Any]]:
    """Sessions enough for a first profile."""
    return scenario.benign(700, seed=4)


@cache
def log() -> list[Record]:
    """They, and one search that is over before the first profile."""
    return scenario.records(honest(), traffic.inversion(seed=3, queries=120, at=PASSED))


def documents(shard: Shard, records: list[Record]) -> list[dict[str, Any]]:
    return [alert.document for alert in shard.process(records).alerts]


def first_profile(settings: Settings, records: list[Record]) -> int:
    """The number of the query at which there is one."""
    shard = Shard(settings, {})
    for n, record in enumerate(records):
        shard.process([record])
        if shard.models["toy"].profile is not None:
            return n
    raise AssertionError("no profile")


@cache
def built_at() -> int:
    return first_profile(SILENT, log())


def test_a_search_that_nobody_judged_is_found_by_the_first_profile() -> None:
    alerts = documents(Shard(SILENT, {}), log())
    assert {alert["user"]["id"] for alert in alerts} == {"attacker-3"}
    first, *later = alerts
    assert first["event"]["kind"] == "alert"
    assert first["querywatch"]["profile"]["version"].startswith("1-")
    own = [record for record in log() if record.client_id == "attacker-3"]
    trigger = next(r for r in own if r.request_id == first["querywatch"]["trigger"]["request_id"])
    assert first["@timestamp"] == iso_time(trigger.timestamp)
    assert first["querywatch"]["session"]["queries"] == own.index(trigger) + 1 < 80
    raised = log()[built_at()].timestamp
    assert (
        first["querywatch"]["alert"] | {"hindsight": True, "raised": iso_time(raised)}
        == first["querywatch"]["alert"]
    )
    assert (
        f"Found in hindsight, {(raised - trigger.timestamp) / 60:.0f} min later" in first["event"]["reason"]
    )
    assert len(first["querywatch"]["evidence"]["series"]["distance"]) >= 8
    assert [each["event"]["sequence"] for each in later] == [*range(1, 1 + len(later))]
    assert {each["event"]["id"] for each in alerts} == {first["event"]["id"]}


def test_it_comes_with_the_query_that_brings_the_profile() -> None:
    shard = Shard(SILENT, {})
    assert shard.process(log()[: built_at()]).alerts == []
    (first, *_) = shard.process(log()[built_at() : built_at() + 1]).alerts
    assert first.offset == log()[built_at()].offset


def test_what_alerts_in_hindsight_does_not_teach() -> None:
    shard = Shard(SILENT, {})
    shard.process(log())
    learner = shard.models["toy"].learner
    assert learner is not None
    assert learner.alerted
    assert not set(learner.clean().entities.tolist()) & learner.alerted


def test_what_the_prior_told_is_not_told_again() -> None:
    alerts = documents(Shard(ONLINE, {}), log())
    assert {alert["user"]["id"] for alert in alerts} == {"attacker-3"}
    assert [alert["event"]["kind"] for alert in alerts].count("alert") == 1
    assert not any("hindsight" in alert["querywatch"]["alert"] for alert in alerts)


def test_a_search_that_is_under_way_goes_on_in_the_same_episode() -> None:
    begins = log()[built_at()].timestamp - 60.0
    attack = traffic.inversion(seed=3, queries=900, at=begins)
    records = scenario.records(honest(), attack)
    at = first_profile(SILENT, records)
    sent = [n for n, record in enumerate(records) if record.client_id == "attacker-3"]
    assert sent[40] < at < sent[-200]
    alerts = documents(Shard(SILENT, {}), records)
    assert {alert["event"]["id"] for alert in alerts} == {alerts[0]["event"]["id"]}
    assert [alert["event"]["sequence"] for alert in alerts] == [*range(len(alerts))]
    late = ["hindsight" in alert["querywatch"]["alert"] for alert in alerts]
    assert late[0]
    assert not late[-1]


def test_declared_clients_are_not_told_of() -> None:
    declared = Settings(prior=False, declared=frozenset({"attacker-3"}))
    assert documents(Shard(declared, {}), log()) == []


def test_a_profile_that_was_handed_in_looks_back_at_nothing() -> None:
    shard = Shard(ONLINE, scenario.profiles("toy"))
    alerts = documents(shard, log())
    assert {alert["user"]["id"] for alert in alerts} == {"attacker-3"}
    assert not any("hindsight" in alert["querywatch"]["alert"] for alert in alerts)
    assert shard.models["toy"].past is None


@pytest.mark.parametrize("settings", [SILENT, ONLINE])
@pytest.mark.parametrize("size", [331, 1000])
def test_batches_and_restarts_change_no_byte(settings: Settings, size: int) -> None:
    records = log()[: built_at() + 400]
    expected = scenario.lines(Shard(settings, {}).process(records).alerts)
    assert expected
    shard, found = Shard(settings, {}), []
    for begin in range(0, len(records), size):
        found += scenario.lines(shard.process(records[begin : begin + size]).alerts)
        shard = scenario.saved(shard, settings, {})
    assert found == expected


def test_ids_of_any_kind_outlive_a_restart() -> None:
    strange = {"client_id": "\u202e\U0001f600", "session_id": "", "user_agent": "\x00", "tenant_id": "\xe9"}
    attack = [query | strange for query in traffic.inversion(seed=3, queries=120, at=PASSED)]
    records = scenario.records(honest(), attack)[: built_at() + 1]
    expected = Shard(SILENT, {}).process(records).alerts
    shard = Shard(SILENT, {})
    assert shard.process(records[:-1]).alerts == []
    found = scenario.saved(shard, SILENT, {}).process(records[-1:]).alerts
    assert [alert.document for alert in found] == [alert.document for alert in expected] != []
    assert found[0].document["user"]["id"] == "\u202e\U0001f600"


def test_a_state_is_restored_to_the_byte_whatever_an_id_holds() -> None:
    records = [Record(**query, offset=n) for n, query in enumerate(honest()[:5000])]
    for record in records:
        record.user_agent = "\udc80"
    shard = Shard(SILENT, {})
    shard.process(records)
    assert dump(scenario.saved(shard, SILENT, {})) == dump(shard)


def test_nothing_is_looked_back_at_where_nothing_is_remembered() -> None:
    past = hindsight.Past("toy")
    assert past.state() == {}
    assert past.again(scenario.profiles("toy")["toy"], ONLINE, Learner()) is None


def test_there_is_an_end_to_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hindsight, "MOST", 200)
    shard = Shard(SILENT, {})
    shard.process(log()[: built_at()])
    past = shard.models["toy"].past
    assert past is not None
    state = past.state()
    assert len(state["when"]) == 200 < FIRST_BUILD
    assert state["when"][-1] >= built_at() - 16
    # The search is among them, but for its beginning.
    shard.process(log()[built_at() : built_at() + 1])
    assert shard.models["toy"].profile is not None


def test_half_of_the_budget_is_for_each_look() -> None:
    for upto, profiles, budget in ((built_at(), 0, 0.5), (len(log()), 1, 1.0)):
        shard = Shard(ONLINE, {})
        shard.process(log()[:upto])
        state = shard.models["toy"]
        assert state.judge is not None
        assert (state.profile is not None) == profiles
        assert state.threshold == state.judge.thresholds(budget * ONLINE.budget)[SESSION, 0]


def test_only_those_that_still_have_their_slot_go_on() -> None:
    shard = Shard(SILENT, {})
    shard.process(log()[: built_at()])
    state = shard.models["toy"]
    entities = state.entities[SESSION]
    used = np.flatnonzero(entities.slots.counts[:, 0] > 0)[:2]
    serials = entities.slots.counts[used, 2].copy()
    serials[1] += 1_000_000
    told = entities.episodes.evidence[used].tolist()
    found = suspicion.allocate(2)
    found.evidence[:] = 5.0
    entities.take_over(used, serials, found, np.arange(2))
    assert entities.episodes.evidence[used].tolist() == [5.0, told[1]]


def test_clients_that_left_are_not_heard_of() -> None:
    shard = Shard(SILENT, {})
    shard.process(log()[: built_at()])
    clients = shard.models["toy"].clients
    numbers = np.array([0, 1])
    serials = clients.serial[numbers] + np.array([0, 1_000_000])
    clients.habits.sessions[numbers] = 7
    heard = np.full((2, KINDS), -1)
    heard[:, SESSION] = 4000
    clients.hear(numbers, serials, heard)
    assert clients.heard[numbers, SESSION].tolist() == [4000, -1]
    assert clients.heard[numbers, CLIENT].tolist() == [-1, -1]
    assert clients.habits.sessions[numbers].tolist() == [0, 7]


def test_there_is_nothing_to_remember_where_nothing_is_learned() -> None:
    shard = Shard(Settings(learn=False), {})
    shard.process(log()[:50])
    state = shard.models["toy"]
    assert state.past is None
    assert isinstance(state.inputs, Inputs)
