"""The first queries of a model: measured from the first on, once its units are learned from them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from detector.beginning import Beginning
from detector.input_sample import AGAIN, KEPT_NUMBERS, SAMPLE_QUERIES
from detector.pipeline import Shard
from detector.policy import KINDS
from detector.query import Record
from detector.settings import Settings
from detector.shard_state import dump
from tests import traffic
from tests.detector import scenario

SILENT, ONLINE = Settings(prior=False), Settings()
EARLY = traffic.START + 2.0
"""Before anything is known of the model."""


@cache
def log(at: float = EARLY, queries: int = 120) -> list[Record]:
    """Honest sessions enough for a profile, and one search."""
    return scenario.records(scenario.benign(700, seed=2), traffic.inversion(seed=3, queries=queries, at=at))


def documents(records: list[Record], settings: Settings = ONLINE) -> list[dict[str, Any]]:
    return [alert.document for alert in Shard(settings, {}).process(records).alerts]


def sent(records: list[Record]) -> list[int]:
    return [n for n, record in enumerate(records) if record.client_id == "attacker-3"]


def begun_with(units: Shard, records: list[Record], settings: Settings) -> Shard:
    """A shard that measures in the units of another one from the first query on."""
    shard = Shard(settings, {})
    shard.process(records[:1])
    state, other = shard.models["toy"], units.models["toy"]
    assert state.learner is not None
    state.start_over()
    state.use_units(other.inputs)
    state.beginning = None
    shard.next_offset = 0
    return shard


@pytest.mark.parametrize("settings", [SILENT, ONLINE])
def test_it_is_as_if_the_units_had_been_known_from_the_first_query_on(settings: Settings) -> None:
    until = AGAIN if settings.prior else SAMPLE_QUERIES
    shard = Shard(settings, {})
    shard.process(log()[:until])
    state, known = shard.models["toy"], begun_with(shard, log(), settings)
    known.process(log()[:until])
    expected = known.models["toy"]
    assert state.learner is not None and expected.learner is not None
    assert state.learner.points == expected.learner.points > 30
    for kind in range(KINDS):
        ours, theirs = state.learner.clean(kind), expected.learner.clean(kind)
        for column, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(column, wanted)
    assert state.begun == expected.begun
    assert state.entities[0].rows.tobytes() == expected.entities[0].rows.tobytes()


def test_a_search_among_the_first_queries_is_found_later() -> None:
    assert sent(log())[-1] < SAMPLE_QUERIES
    alerts = documents(log())
    assert {alert["user"]["id"] for alert in alerts} == {"attacker-3"}
    first = alerts[0]
    assert first["querywatch"]["alert"]["hindsight"] is True
    assert "too little was known of this model" in first["event"]["reason"]
    assert len({alert["event"]["id"] for alert in alerts}) == 1
    assert [alert["event"]["sequence"] for alert in alerts] == [*range(len(alerts))]
    # The prior judges as soon as the units are known; who does not want it waits for the profile.
    raised = log()[AGAIN - 1].timestamp
    (late,) = {alert["querywatch"]["alert"]["raised"] for alert in alerts}
    assert late == np.datetime_as_string(np.datetime64(round(raised * 1e3), "ms")) + "Z"
    later = documents(log(), SILENT)
    assert {alert["user"]["id"] for alert in later} == {"attacker-3"}
    assert later[0]["querywatch"]["alert"]["raised"] > late
    assert later[0]["querywatch"]["profile"]["version"].startswith("1-")


@pytest.mark.parametrize("at", [85.0, 150.0])
def test_an_episode_that_was_told_of_goes_on_under_its_name(at: float) -> None:
    """Before the first queries are measured anew, and over that."""
    records = log(traffic.START + at, 300)
    first, last = sent(records)[0], sent(records)[-1]
    assert SAMPLE_QUERIES < first < AGAIN
    assert (last < AGAIN) == (at < 120.0)
    alerts = documents(records)
    assert {alert["user"]["id"] for alert in alerts} == {"attacker-3"}
    assert len({alert["event"]["id"] for alert in alerts}) == 1
    assert [alert["event"]["sequence"] for alert in alerts] == [*range(len(alerts))]
    assert not any("hindsight" in alert["querywatch"]["alert"] for alert in alerts)


@pytest.mark.parametrize("settings", [SILENT, ONLINE])
@pytest.mark.parametrize("size", [331, 1000])
@pytest.mark.parametrize("at", [EARLY, traffic.START + 150.0])
def test_batches_and_restarts_change_no_byte(settings: Settings, size: int, at: float) -> None:
    records = log(at)[: AGAIN + 500]
    whole = Shard(settings, {})
    expected = scenario.lines(whole.process(records).alerts)
    shard, found = Shard(settings, {}), []
    for begin in range(0, len(records), size):
        found += scenario.lines(shard.process(records[begin : begin + size]).alerts)
        shard = scenario.saved(shard, settings, {})
    assert found == expected
    assert dump(shard) == dump(scenario.saved(whole, settings, {}))
    assert bool(expected) == settings.prior


def test_sessions_without_ids_and_answers_are_measured_anew_too() -> None:
    records = [
        Record(r.timestamp, r.model_id, r.client_id, r.input, offset=r.offset) for r in log()[: AGAIN + 200]
    ]
    shard = Shard(ONLINE, {})
    shard.process(records)
    state = shard.models["toy"]
    assert state.beginning is None
    assert state.learner is not None
    assert state.learner.points > 200
    assert state.sessions.queries == len(records)


def test_a_client_that_was_told_of_does_not_teach_whatever_comes_of_it_later() -> None:
    records = log(traffic.START + 100.0)
    shard = Shard(ONLINE, {})
    shard.process(records[:AGAIN])
    state = shard.models["toy"]
    assert state.learner is not None
    (attacker,) = state.clients.serials_of({("", "attacker-3"), ("", "nobody"), ("t", "user-2-1")}).tolist()
    assert attacker in state.learner.clients_alerted
    assert attacker not in state.learner.clean().owners


def test_what_takes_too_much_room_is_not_kept() -> None:
    long = Shard(ONLINE, {})
    x = np.zeros((20, KEPT_NUMBERS // AGAIN + 1))
    long.process([Record(float(n), "m", "c", row.tolist(), offset=n) for n, row in enumerate(x)])
    assert long.models["m"].beginning is None
    # So many classes are in no log, but the kernels would take them.
    assert Beginning("m", 4, 8).add(batch(4, 2))
    assert not Beginning("m", 4, 8).add(batch(4, 3))


def batch(n: int, classes: int) -> Any:
    from detector.columns import to_batch

    share = [1.0 / classes] * classes
    records = [Record(float(i), "m", f"c{i}", [1.0, 2.0], probabilities=share, offset=i) for i in range(n)]
    return to_batch("m", records, "", 0)[0]


def test_what_is_kept_is_read_back() -> None:
    kept = Beginning("m", 10, 100)
    assert kept.add(batch(2, 2))
    assert kept.add(batch(3, 4))
    again = Beginning("m", 10, 100)
    again.load(kept.state())
    assert again.room == kept.room == 5
    inputs = np.arange(10.0).reshape(5, 2)
    ours, theirs = again.batch(inputs), kept.batch(inputs)
    np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
    assert ours.probabilities.shape == (5, 4)
    np.testing.assert_array_equal(ours.confidence, theirs.confidence)
    assert list(ours.records) == list(theirs.records)
    empty = Beginning("m", 10, 100)
    empty.load(Beginning("m", 10, 100).state())
    assert empty.room == 10


def test_what_was_told_is_no_more_once_there_is_a_profile() -> None:
    """Or a client's alert of months later would pass for an update of its first one."""
    shard = Shard(ONLINE, {})
    records = log(traffic.START + 85.0)
    assert {alert.document["user"]["id"] for alert in shard.process(records[: AGAIN - 1]).alerts} == {
        "attacker-3"
    }
    sent = shard.models["toy"].sent
    assert sent is not None
    assert sent.clients == {("", "attacker-3")}
    shard.process(records[AGAIN - 1 :])
    assert shard.models["toy"].profile is not None
    assert shard.models["toy"].sent is None
