"""Declared clients (explainers, red teams) search by design: no alert, but a count, and nothing learned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.pseudonyms import hashed
from detector.config import parse
from detector.edge import settings_of
from detector.pipeline import Shard
from detector.query import Record
from detector.settings import Settings
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, lines, records, saved

SYBILS = frozenset(f"sybil-{n}" for n in range(25))


def two_searches() -> list[Record]:
    return records(
        scenario.benign(60, seed=2),
        traffic.inversion(seed=3),
        traffic.inversion(seed=4, at=traffic.START + 50),
    )


@pytest.mark.parametrize("settings", [FROZEN, Settings()], ids=["frozen", "learning"])
def test_a_declared_client_is_silent_and_no_other_is(settings: Settings) -> None:
    declared = replace(settings, declared=frozenset({"attacker-3"}))
    plain, silent = (Shard(one, scenario.profiles("toy")) for one in (settings, declared))
    told = {alert.document["user"]["id"] for alert in plain.process(two_searches()).alerts}
    assert told == {"attacker-3", "attacker-4"}
    left = silent.process(two_searches()).alerts
    assert {alert.document["user"]["id"] for alert in left} == {"attacker-4"}
    assert silent.models["toy"].suppressed[0] > plain.models["toy"].suppressed[0]
    for shard in (plain, silent):
        learner = shard.models["toy"].learner
        assert learner is None or len(learner.alerted) == 2


def test_batches_and_saves_change_no_byte() -> None:
    settings, profiles = replace(FROZEN, declared=frozenset({"attacker-3"})), scenario.profiles("toy")
    whole = Shard(settings, profiles).process(two_searches()).alerts
    log = two_searches()
    shard = Shard(settings, profiles)
    first = in_batches(shard, log[:700], 7).alerts
    rest = in_batches(saved(shard, settings, profiles), log[700:], 1000).alerts
    assert lines([*first, *rest]) == lines(whole)


@pytest.mark.parametrize(("declared", "alerts"), [(SYBILS, False), (SYBILS - {"sybil-7"}, True)])
def test_a_campaign_is_silent_only_when_all_its_clients_are_declared(
    declared: frozenset[str], alerts: bool
) -> None:
    search = [
        query | {"client_id": f"sybil-{n % 25}", "session_id": f"s-{n % 25}"}
        for n, query in enumerate(traffic.inversion(seed=3, queries=300))
    ]
    shard = Shard(replace(FROZEN, declared=declared), scenario.profiles("toy"))
    found = shard.process(records(scenario.benign(60, seed=2), search)).alerts
    assert bool(found) is alerts


def test_declared_ids_are_those_of_the_log_also_where_ids_are_hashed() -> None:
    text = '[detection]\ndeclared_clients = ["shap-job"]\n'
    assert settings_of(parse(text, {})).declared == {"shap-job"}
    key = "k" * 32
    private = f'[privacy]\nclient_id_key = "{key}"\nhashed = ["client_id"]\n'
    assert settings_of(parse(text + private, {})).declared == {hashed("shap-job", key.encode())}
    other = f'[privacy]\nclient_id_key = "{key}"\nhashed = ["session_id"]\n'
    assert settings_of(parse(text + other, {})).declared == {"shap-job"}
