"""Campaigns: a search dealt over many accounts is found; honest clients that share content are not linked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detector.campaigns import Campaigns
from detector.links import (
    ENOUGH,
    FIRST_DISTANCE,
    LARGEST_DISTANCE,
    LEAST,
    NEAREST,
    USUAL,
    WINDOW,
    allocate,
    keep_distance,
)
from detector.pipeline import Shard
from detector.policy import CAMPAIGN
from detector.query import Record
from detector.settings import Settings
from detector.shard_state import dump
from detector.suspicion import OPEN
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, lines, records, saved

Query = dict[str, Any]


def dealt(accounts: int, *, queries: int = 300, tenant: int = 0, seed: int = 3) -> list[Query]:
    """One search whose queries are sent by `accounts` clients in turn."""
    return [
        query
        | {
            "client_id": f"sybil-{n % accounts}",
            "session_id": f"s-{n % accounts}",
            "tenant_id": f"t-{n % tenant}" if tenant else "",
        }
        for n, query in enumerate(traffic.inversion(seed=seed, queries=queries))
    ]


def paused(log: list[Query], after: int, pause: float) -> list[Query]:
    """The same queries with a pause [s] after so many of them."""
    return [
        query | {"timestamp": query["timestamp"] + (pause if n >= after else 0.0)}
        for n, query in enumerate(log)
    ]


def alerts_on(log: list[Query], settings: Settings = FROZEN) -> list[dict[str, Any]]:
    shard = Shard(settings, scenario.profiles("toy"))
    return [a.document for a in shard.process(records(scenario.benign(60, seed=2), log)).alerts]


@pytest.mark.parametrize("accounts", [25, 100])
def test_a_search_dealt_over_accounts_is_a_campaign(accounts: int) -> None:
    """With 100 accounts each sends six queries: too few to be evaluated by itself."""
    found = alerts_on(dealt(accounts, queries=600 if accounts == 100 else 300))
    # Parts of a search may be told before it is seen that they belong together.
    assert len({alert["event"]["id"] for alert in found}) <= 2
    first = found[0]
    ours = first["querywatch"]
    assert first["event"]["kind"] == "alert"
    assert first["rule"]["id"] == "querywatch-campaign-search"
    assert ours["entity"] == {"kind": "campaign", "id": ours["campaign"]["id"]}
    assert "user" not in first
    assert "source" not in first
    assert "session" not in ours
    named = first["related"]["user"]
    assert len(named) == ours["campaign"]["clients"] >= 3
    assert ours["campaign"]["sessions"] >= ours["campaign"]["clients"]
    assert set(named) <= {f"sybil-{n}" for n in range(accounts)}
    assert f"by {len(named)} clients" in first["event"]["reason"]
    assert len({name for alert in found for name in alert["related"]["user"]}) > 0.9 * accounts


def test_an_account_of_its_own_is_no_campaign() -> None:
    found = alerts_on(dealt(1))
    assert {alert["querywatch"]["entity"]["kind"] for alert in found} == {"session"}


def test_tenants_are_not_linked() -> None:
    assert alerts_on(dealt(100, tenant=100, queries=600)) == []


def test_accounts_that_a_campaign_named_are_silent_by_themselves() -> None:
    """Dealt over 12 accounts, each has enough queries to alert in the end."""
    found = alerts_on(dealt(12, queries=900))
    campaigns = [a for a in found if a["querywatch"]["entity"]["kind"] == "campaign"]
    assert campaigns
    named = set(campaigns[0]["related"]["user"])
    later = [a for a in found if a["querywatch"]["entity"]["kind"] != "campaign"]
    assert not named & {alert["user"]["id"] for alert in later}


@pytest.mark.parametrize("silence", [True, False])
def test_a_campaign_is_over_after_a_silence(silence: bool) -> None:
    """A search that stopped early is not told of when, long after, its accounts send another."""
    pause = (1.1 if silence else 0.9) * FROZEN.gap
    log = paused(dealt(25), 30, pause)
    assert alerts_on(log[:30]) == []
    first = alerts_on(log)[0]
    assert first["querywatch"]["entity"]["kind"] == "campaign"
    assert (first["event"]["duration"] < pause * 1e9) == silence


def test_a_campaign_goes_on_with_no_episode_of_the_one_before() -> None:
    """It takes a slot that another had, and would else silence whom that one told of."""
    shard = Shard(FROZEN, scenario.profiles("toy"))
    log = paused(dealt(25, queries=330), 300, 1.1 * FROZEN.gap)
    until = records(scenario.benign(60, seed=2), log[:300])
    assert shard.process(until).alerts
    campaigns = shard.models["toy"].campaigns
    (told,) = np.flatnonzero(campaigns.entities.episodes.counts[:, OPEN])
    followed = []
    for n, query in enumerate(log[300:]):
        shard.process([Record(**query, offset=len(until) + n)])
        followed.append(int(campaigns.links.begun[told]))
        assert campaigns.entities.episodes.counts[told, OPEN] == 0 or followed[-1] == 0
    assert max(followed) > 4


def test_whom_only_a_revision_named_still_gets_an_alert() -> None:
    """So many join a campaign that it is told of again, and one of them goes on by itself."""
    log = []
    for n, query in enumerate(traffic.inversion(seed=3, queries=900)):
        name = f"sybil-{n % 25}" if n < 250 else f"sybil-{n % 50 if n < 500 else 49}"
        log.append(query | {"client_id": name, "session_id": name})
    found = alerts_on(log)
    campaign = [one for one in found if one["querywatch"]["entity"]["kind"] == "campaign"]
    assert [one["event"]["kind"] for one in campaign].count("alert") == 1
    assert "sybil-49" not in campaign[0]["related"]["user"]
    assert any("sybil-49" in one["related"]["user"] for one in campaign)
    own = [one for one in found if one.get("user", {}).get("id") == "sybil-49"]
    assert [one["event"]["kind"] for one in own].count("alert") == 1


def test_a_campaign_names_first_who_sent_most_of_it() -> None:
    """Of eight accounts one sends every third query, and its share."""
    log = []
    for n, query in enumerate(traffic.inversion(seed=3, queries=300)):
        name = f"sybil-{7 if n % 3 == 0 else n % 8}"
        log.append(query | {"client_id": name, "session_id": f"{name}-{n // 16}"})
    (named, *_) = (one["related"]["user"] for one in alerts_on(log) if "campaign" in one["querywatch"])
    assert len(named) > 2
    assert named[0] == "sybil-7"


def test_who_came_near_one_clients_search_is_not_named_once_that_client_is_gone() -> None:
    """One client sends thirteen of sixteen queries, three come near. It leaves; they go on for a while."""
    searching = traffic.inversion(seed=3, queries=500)
    log = []
    for n, query in enumerate(searching):
        name = f"near-{n % 3}" if n >= 400 or n % 16 > 12 else "busy"
        at = query["timestamp"] + (10_000.0 if n >= 400 else 0.0)
        log.append(query | {"client_id": name, "session_id": f"{name}-{n // 80}", "timestamp": at})
    between = [
        query | {"timestamp": log[399]["timestamp"] + 10.0 + n, "client_id": f"other-{n // 16}"}
        for n, query in enumerate(traffic.benign(60, seed=9))
    ]
    found = alerts_on([*log[:400], *between, *log[400:]])
    assert any(alert.get("user", {}).get("id") == "busy" for alert in found)
    assert [alert["related"]["user"] for alert in found if "campaign" in alert["querywatch"]] == []


def test_clients_that_send_the_same_content_are_not_linked() -> None:
    """Forty clients send one odd series each, byte for byte the same: a shared job, a published example."""
    series = traffic.inversion(seed=3, queries=7)
    log = [
        query | {"client_id": f"c-{n}", "session_id": f"s-{n}", "timestamp": query["timestamp"] + 10 * n}
        for n in range(40)
        for query in series
    ]
    shard = Shard(FROZEN, scenario.profiles("toy"))
    shard.process(records(scenario.benign(60, seed=2), log))
    links = shard.models["toy"].campaigns.links
    assert links.clients.max() <= 1


def test_ordinary_traffic_makes_few_campaigns_and_no_alert() -> None:
    shard = Shard(FROZEN, scenario.profiles("toy"))
    assert shard.process(records(scenario.benign(400, seed=6))).alerts == []
    links = shard.models["toy"].campaigns.links
    assert np.count_nonzero(links.member >= 0) < 20


@pytest.mark.parametrize("settings", [FROZEN, Settings(), Settings(memory=120_000, learn=False)], ids=str)
@pytest.mark.parametrize("size", [1, 61])
def test_batches_and_saves_change_no_byte(settings: Settings, size: int) -> None:
    profiles = scenario.profiles("toy")
    searches = paused(dealt(25), 120, 1.1 * settings.gap), dealt(5, seed=4)
    log = records(scenario.benign(60, seed=2), *searches)
    whole = Shard(settings, profiles)
    expected = lines(whole.process(log).alerts)
    assert b'"campaign"' in b"".join(expected)
    cut = Shard(settings, profiles)
    assert lines(in_batches(cut, log, size).alerts) == expected
    assert dump(cut) == dump(whole)
    restored = Shard(settings, profiles)
    found = []
    for begin in range(0, len(log), 250):
        restored = saved(restored, settings, profiles)
        found += lines(restored.process(log[begin : begin + 250]).alerts)
    assert found == expected
    assert dump(restored) == dump(whole)


def test_campaigns_that_alerted_do_not_teach() -> None:
    shard = Shard(Settings(), scenario.profiles("toy"))
    shard.process(records(scenario.benign(60, seed=2), dealt(25)))
    learner = shard.models["toy"].learner
    assert learner is not None
    assert len(learner.campaigns_alerted) == 1
    assert not learner.campaigns_alerted & set(learner.clean(CAMPAIGN).entities.tolist())


def test_what_is_near_is_learned_and_bounded() -> None:
    links, scratch = allocate(4, 8, 8), np.empty(LEAST)
    assert links.usual[0] == FIRST_DISTANCE
    distances = np.random.default_rng(1).permutation(np.linspace(0.001, 0.2, 10 * ENOUGH))
    for distance in distances:
        keep_distance(links, float(distance), scratch)
    assert links.usual[0] == np.sort(distances)[int(USUAL * len(distances))]
    for _ in range(NEAREST):
        keep_distance(links, 9.0, scratch)
    assert links.usual[0] == LARGEST_DISTANCE


def three() -> list[Query]:
    """Benign traffic of a model with three columns."""
    rng = np.random.default_rng(5)
    return [
        {
            "timestamp": traffic.START + n,
            "model_id": "m",
            "client_id": f"u{n // 12}",
            "session_id": "s",
            "input": rng.normal(size=3).tolist(),
            "probabilities": [0.3, 0.7],
        }
        for n in range(3600)
    ]


def test_campaigns_stay_within_their_bound() -> None:
    """Many small campaigns, each somewhere else: the least recently active ones end."""
    profiles = scenario.fit(records(three()))
    shard = Shard(Settings(memory=200_000, learn=False), profiles)
    rng = np.random.default_rng(6)
    log: list[Record] = []
    for c in range(60):
        centre = 20.0 + 10.0 * c
        for n in range(24):
            x = (centre + 1e-3 * rng.normal(size=3)).tolist()
            time, client = traffic.START + 24 * c + n, f"c{c}-{n % 4}"
            log.append(Record(time, "m", client, x, "s", probabilities=[0.5, 0.5], offset=len(log)))
    shard.process(log)
    campaigns: Campaigns = shard.models["m"].campaigns
    assert campaigns.links.counters[2] > campaigns.bound >= len(campaigns.links.clients)
    assert campaigns.links.member.max() < campaigns.bound
    assert campaigns.links.client.shape == (WINDOW,)
    counted = np.bincount(campaigns.links.member[campaigns.links.member >= 0], minlength=campaigns.bound)
    assert np.array_equal(counted, campaigns.links.clients)
