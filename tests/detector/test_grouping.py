"""One client's flood of alerts is told as one; nobody else's alert is held back; batches change nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from detector.alert import Alert
from detector.grouping import FREE, MOST_CLIENTS, RULE, Groups
from detector.pipeline import Shard
from detector.query import Record
from detector.shard_state import canonical_digest, dump
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, lines, saved
from tests.detector.test_ecs import ARRAYS, ECS_FIELDS, leaves

HOUR = 3600.0 * (traffic.START // 3600.0 + 1.0)
"""Begins an hour."""


def message(n: int, client: str = "c", sequence: int = 0, hour: int = 10, model: str = "m") -> Alert:
    document = {
        "@timestamp": f"2026-11-24T{hour:02}:{n % 60:02}:00.000Z",
        "message": "x",
        "event": {
            "id": f"{client}-{n}",
            "sequence": sequence,
            "reason": "why",
            "kind": "alert",
            "duration": 1,
        },
        "rule": {"id": "r", "name": "n", "category": "c"},
        "service": {"name": model},
        "user": {"id": client},
        "querywatch": {"alert": {"revision": sequence}},
    }
    return Alert(f"{client}-{model}-{n}-{sequence}", document, n)


def counts(told: list[Alert]) -> list[int]:
    """How many alerts each message says that it stands for; 1 for one that stands for itself."""
    return [alert.document["querywatch"].get("group", {"alerts": 1})["alerts"] for alert in told]


def test_the_first_are_told_and_then_the_number_as_it_grows() -> None:
    groups = Groups("default")
    told = groups.take(message(n) for n in range(FREE + 100))
    assert counts(told) == [1] * FREE + [FREE + n for n in (1, 4, 16, 64)]
    assert groups.withheld == 100
    assert [alert.document["event"]["kind"] for alert in told[FREE:]] == ["alert", "event", "event", "event"]
    assert len({alert.id for alert in told}) == len(told)
    (episode,) = {alert.document["event"]["id"] for alert in told[FREE:]}
    assert episode not in {alert.document["event"]["id"] for alert in told[:FREE]}
    newest = told[-1].document
    assert newest["rule"] == {"id": RULE[0], "name": RULE[1], "category": "c"}
    assert newest["event"]["reason"].startswith(f"{FREE + 64} alerts on this client since 2026-11-24T10:00")
    assert groups.take([message(0, hour=9)]) == [], "a late one belongs to the hour that is"


def test_updates_follow_their_alert() -> None:
    groups = Groups("default")
    groups.take(message(n) for n in range(FREE + 5))
    own, others = message(FREE - 1, sequence=1), message(FREE + 1, sequence=1)
    assert groups.take([own, others]) == [own]
    # In the next hour too, in which new alerts are told by themselves again.
    new = message(7000, hour=11)
    assert groups.take([new, message(7000, sequence=1, hour=11), own, others])[0] == new
    assert groups.take([message(FREE - 1, sequence=2, hour=11), message(FREE + 1, sequence=2, hour=11)]) == [
        message(FREE - 1, sequence=2, hour=11)
    ]
    calm = Groups("default")
    assert calm.take([own]) == [own], "of an alert before the start"


def test_nobody_else_is_held_back() -> None:
    groups = Groups("default")
    groups.take(message(n) for n in range(500))
    others = [message(0, "d"), message(1, model="other"), *(message(n, f"d{n}") for n in range(300))]
    campaign = Alert("campaign", {"event": {"kind": "alert"}}, 9)
    assert groups.take([*others, campaign]) == [*others, campaign]


def test_there_is_an_end_to_the_clients_that_are_counted() -> None:
    groups = Groups("default")
    groups.take(message(n, f"d{n}") for n in range(MOST_CLIENTS + 50))
    assert len(groups.state()) == MOST_CLIENTS


def flood() -> list[Record]:
    """Sixty sessions of one client, one after the other, a search in each, and one other's search."""
    parts: list[list[dict[str, Any]]] = []
    for n in range(60):
        search = traffic.inversion(seed=n, queries=60, at=HOUR + 20.0 * n)
        parts.append([query | {"client_id": "flooder", "session_id": f"s{n}"} for query in search])
    parts.append(traffic.inversion(seed=99, queries=60, at=HOUR + 900.0))
    return scenario.records(*parts)


def test_a_flood_of_sessions_does_not_bury_another_s_alert() -> None:
    shard = Shard(FROZEN, scenario.profiles("toy"))
    told = in_batches(shard, flood(), 500).alerts
    raised = [alert.document for alert in told if alert.document["event"]["kind"] == "alert"]
    assert Counter(document["user"]["id"] for document in raised) == {"flooder": FREE + 1, "attacker-99": 1}
    (together,) = [document for document in raised if document["rule"]["id"] == RULE[0]]
    assert shard.groups.withheld == 50
    assert max(counts(told)) == FREE + 16
    for name, value in leaves(together):
        assert name in ECS_FIELDS or name.startswith("querywatch."), name
        if not name.startswith("querywatch."):
            assert isinstance(value, list) == (name in ARRAYS), name


@pytest.mark.parametrize("size", [7, 1000])
def test_batches_and_restarts_change_nothing(size: int) -> None:
    log = flood()
    whole = Shard(FROZEN, scenario.profiles("toy"))
    expected = lines(whole.process(log).alerts)
    shard = Shard(FROZEN, scenario.profiles("toy"))
    found: list[bytes] = []
    for begin in range(0, len(log), 600):
        found += lines(in_batches(shard, log[begin : begin + 600], size).alerts)
        shard = saved(shard, FROZEN, scenario.profiles("toy"))
    assert found == expected
    assert canonical_digest(dump(shard)) == canonical_digest(dump(whole))
