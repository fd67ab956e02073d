"""The watchdog: every way to be blind is told once when it begins and once when it is over."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config import Health
from detector.readiness import needs
from detector.self_alert import CATEGORY, ENTITY, Deployment, self_alert
from detector.watchdog import KINDS, Notice, SinkState, Snapshot, Watchdog
from tests.detector.test_ecs import ARRAYS, ECS_FIELDS, leaves

LIMITS = Health(no_input_seconds=900.0)
WELL = Snapshot(
    now=1_760_000_000.0, partitions=(0, 1), sessions=1000, sinks=(SinkState("es"), SinkState("db"))
)
WHERE = Deployment("default", "queries", "group", "host-1")


def history_of(seed: int) -> list[Snapshot]:
    """Up to 40 snapshots in order, well and unwell at random; the clock and the counters only rise."""
    chance = Random(seed)
    now, evicted, suspicious = 1_760_000_000.0, 0, 0
    seen = []

    def some(*values: float) -> float:
        return chance.choice(values)

    def few(most: int) -> dict[int, int]:
        return {p: chance.randrange(1, most) for p in range(4) if chance.random() < 0.3}

    for _ in range(chance.randrange(1, 41)):
        now += chance.uniform(0.5, 400.0)
        evicted += chance.choice((0, 0, 0, 30, 800))
        suspicious += chance.choice((0, 0, 0, 1))
        down = [SinkState(n, some(0.0, 59.9, 60.0, 500.0), 2, 3.0, "why") for n in ("es", "db")]
        seen.append(
            Snapshot(
                now=now,
                partitions=(0, 1) if chance.random() < 0.9 else (),
                silent_seconds=some(0.0, 0.0, 899.9, 900.0),
                lag=few(200_000),
                sessions=chance.randrange(2000),
                evicted=evicted,
                evicted_suspicious=suspicious,
                sinks=tuple(down[: chance.randrange(3)]),
                unsaved_seconds=some(0.0, 0.0, 59.9, 60.0),
                unsaved_problem="why",
                rebuilt=dict.fromkeys(few(2), "why"),
                lost=few(1000),
            )
        )
    return seen


histories = st.integers(0, 2**32).map(history_of)


def key(notice: Notice) -> tuple[str, str]:
    return notice.condition.kind, notice.condition.part


def kinds(notices: list[Notice]) -> list[tuple[str, bool]]:
    """Which conditions, and whether they are over."""
    return [(notice.condition.kind, notice.ended is not None) for notice in notices]


@given(histories)
def test_every_episode_begins_and_ends_once(history: list[Snapshot]) -> None:
    dog = Watchdog(LIMITS)
    running: dict[tuple[str, str], Notice] = {}
    ids: list[str] = []
    for seen in history:
        for notice in dog.observe(seen):
            assert notice.condition.kind in KINDS
            if notice.ended is None:
                assert key(notice) not in running
                assert notice.began == seen.now
                running[key(notice)] = notice
            else:
                assert running.pop(key(notice)).began == notice.began < notice.ended == seen.now
            ids.append(self_alert(notice, WHERE).id)
        assert {key(episode) for episode in dog.episodes} == set(running)
    assert len(set(ids)) == len(ids)
    well = replace(WELL, now=history[-1].now + 10_000.0, evicted=history[-1].evicted,
                   evicted_suspicious=history[-1].evicted_suspicious)  # fmt: skip
    assert {key(notice) for notice in dog.observe(well)} == set(running)
    assert dog.episodes == []


@given(histories)
def test_the_same_history_gives_the_same_documents(history: list[Snapshot]) -> None:
    told = []
    for _ in range(2):
        dog = Watchdog(LIMITS)
        told.append([self_alert(n, WHERE).to_json() for seen in history for n in dog.observe(seen)])
    assert told[0] == told[1]


@given(histories)
def test_memory_does_not_grow_with_the_history(history: list[Snapshot]) -> None:
    dog = Watchdog(Health(behind_seconds=5.0, eviction_seconds=5.0, flood_seconds=5.0))
    for seen in history:
        dog.observe(seen)
        assert len(dog._lag) <= 12
        assert len(dog._evicted) <= 12
        assert len(dog._alerts) <= 12


def test_all_is_well() -> None:
    dog = Watchdog(LIMITS)
    for n in range(100):
        assert dog.observe(replace(WELL, now=WELL.now + 10.0 * n, lag={0: n})) == []


@pytest.mark.parametrize(
    ("trouble", "kind", "part"),
    [
        ({"silent_seconds": 900.0}, "no_input", ""),
        ({"sinks": (SinkState("es", 60.0, 3, 60.0, "no answer"), SinkState("db"))}, "sink_down", "es"),
        ({"unsaved_seconds": 60.0, "unsaved_problem": "disk full"}, "state_unsaved", ""),
        ({"rebuilt": {1: "the file is damaged"}}, "state_rebuilt", "partition 1"),
        ({"lost": {0: 12_000}}, "records_lost", "partition 0"),
        ({"held": ("fraud",)}, "profile_shift", "model fraud"),
        ({"evicted": 500}, "sessions_evicted", ""),
        ({"evicted": 1, "evicted_suspicious": 1}, "suspicious_evicted", ""),
        ({"alerts": 100}, "alert_flood", ""),
    ],
)
def test_each_trouble_is_told_and_its_end_too(trouble: dict[str, Any], kind: str, part: str) -> None:
    dog = Watchdog(LIMITS)
    assert dog.observe(WELL) == []
    (begun,) = dog.observe(replace(WELL, now=WELL.now + 10.0, **trouble))
    assert (begun.condition.kind, begun.condition.part, begun.ended) == (kind, part, None)
    assert begun.condition.said
    assert begun.condition.advice
    assert dog.observe(replace(WELL, now=WELL.now + 20.0, **trouble)) == []
    counters = {name: value for name, value in trouble.items() if name.startswith("evicted")}
    after = replace(WELL, now=WELL.now + 700.0, **counters)
    (ended,) = dog.observe(after)
    assert (ended.condition.kind, ended.ended) == (kind, after.now)
    assert dog.observe(replace(after, now=after.now + 1.0)) == []


@pytest.mark.parametrize(
    "trouble",
    [
        {"silent_seconds": 899.0},
        {"silent_seconds": 5000.0, "partitions": ()},
        {"sinks": (SinkState("es", 59.0),)},
        {"unsaved_seconds": 59.0},
        {"evicted": 499},
        {"lag": {0: 10_000_000}},
    ],
)
def test_below_the_threshold_nothing_is_told(trouble: dict[str, Any]) -> None:
    dog = Watchdog(LIMITS)
    dog.observe(WELL)
    assert dog.observe(replace(WELL, now=WELL.now + 10.0, **trouble)) == []


def test_silence_is_no_news_when_told_so() -> None:
    dog = Watchdog(Health(no_input_seconds=0.0))
    assert dog.observe(replace(WELL, silent_seconds=1e6)) == []


def test_falling_behind_is_lag_that_does_not_shrink_until_it_is_small() -> None:
    dog = Watchdog(LIMITS)

    def at(minute: float, *lag: int) -> list[tuple[str, bool]]:
        return kinds(dog.observe(replace(WELL, now=WELL.now + 60.0 * minute, lag=dict(enumerate(lag)))))

    # A first start with much to read: it shrinks.
    for minute in range(20):
        assert at(minute, 2_000_000 - 90_000 * minute, 0) == []
    assert at(20, 150_000, 50_000) == []
    assert at(22, 150_000, 60_000) == []
    assert at(25, 100_000, 100_000) == [("behind", False)]
    assert at(30, 100_000, 20_000) == []
    assert at(31, 90_000, 0) == [("behind", True)]


def test_evictions_are_forgotten_after_a_while() -> None:
    dog = Watchdog(LIMITS)
    told = []
    for n in range(30):
        told += kinds(dog.observe(replace(WELL, now=WELL.now + 60.0 * n, evicted=45 * n)))
    assert told == []
    told += kinds(dog.observe(replace(WELL, now=WELL.now + 1800.0, evicted=1900)))
    told += kinds(dog.observe(replace(WELL, now=WELL.now + 2500.0, evicted=1901)))
    assert told == [("sessions_evicted", False), ("sessions_evicted", True)]


def notice(ended: float | None = None) -> Notice:
    dog = Watchdog(LIMITS)
    down = replace(WELL, sinks=(SinkState("es", 75.0, 3, 75.0, "no answer from https://es"),))
    (found,) = dog.observe(down)
    return found._replace(ended=ended)


def test_a_steady_flood_of_alerts_is_one_episode() -> None:
    dog = Watchdog(Health(flood_alerts=100, flood_seconds=600.0))
    told = []
    alerts = 0
    for n in range(400):
        alerts += n % 3 if n < 300 else 0
        told += dog.observe(replace(WELL, now=WELL.now + 6.0 * n, alerts=alerts))
    assert kinds(told) == [("alert_flood", False), ("alert_flood", True)]
    assert told[0].condition.said == "100 alerts in 600 s"


def test_the_document_of_a_self_alert() -> None:
    alert = self_alert(notice(), WHERE)
    event, ours = alert.document["event"], alert.document["querywatch"]
    assert alert.offset == -1
    assert (event["kind"], event["action"], event["severity"]) == ("alert", "sink-down", 73)
    assert "no answer from https://es" in event["reason"]
    assert ours == {"entity": {"kind": ENTITY, "id": "es"}, "alert": {"revision": 0, "status": "open"}}
    assert alert.document["rule"]["category"] == CATEGORY
    assert alert.document["@timestamp"] == "2025-10-09T08:53:20.000Z"


def test_the_end_of_an_episode_pages_nobody() -> None:
    began, ended = self_alert(notice(), WHERE), self_alert(notice(WELL.now + 90.5), WHERE)
    event = ended.document["event"]
    assert (event["kind"], event["action"]) == ("event", "alert-closed")
    assert event["id"] == began.document["event"]["id"]
    assert event["duration"] == 90_500_000_000
    assert ended.id != began.id
    assert ended.document["querywatch"]["alert"] == {"revision": 1, "status": "closed"}


def test_ids_depend_on_deployment_condition_and_beginning_only() -> None:
    first = notice()
    same = first._replace(condition=first.condition._replace(said="otherwise", advice="other"))
    assert self_alert(same, replace(WHERE, host="host-2")).id == self_alert(first, WHERE).id
    other = [
        self_alert(first, replace(WHERE, group="other")),
        self_alert(first, replace(WHERE, topic="other")),
        self_alert(first, replace(WHERE, tenant="other")),
        self_alert(first._replace(began=first.began + 0.5), WHERE),
        self_alert(first._replace(condition=first.condition._replace(part="db")), WHERE),
        self_alert(first, WHERE),
    ]
    assert len({alert.id for alert in other}) == len(other)


@pytest.mark.parametrize("ended", [None, WELL.now + 1.0])
def test_every_field_is_ecs_or_ours(ended: float | None) -> None:
    fields = dict(leaves(self_alert(notice(ended), WHERE).document))
    assert {name for name in fields if not name.startswith("querywatch.")} <= {*ECS_FIELDS, "observer.name"}
    for name, value in fields.items():
        assert isinstance(value, list) == (name in ARRAYS), name


def test_ready_is_partitions_state_and_every_sink() -> None:
    assert all(need.ok for need in needs(WELL))
    assert [need.name for need in needs(WELL)] == ["partitions", "state", "sink es", "sink db"]
    for trouble, name, said in (
        ({"partitions": ()}, "partitions", "rebalancing"),
        ({"unsaved_seconds": 1.0, "unsaved_problem": "disk full"}, "state", "disk full"),
        ({"sinks": (SinkState("es", 2.0, 1, 2.0, "no answer"),)}, "sink es", "down for 2 s: no answer"),
    ):
        (missing,) = [need for need in needs(replace(WELL, **trouble)) if not need.ok]
        assert missing.name == name
        assert said in missing.said
    (need,) = needs(None)
    assert not need.ok
