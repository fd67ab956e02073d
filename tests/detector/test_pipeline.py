"""The core as a whole: records in, alerts out, however they are cut, saved, repeated or mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.input_sample import SAMPLE_QUERIES
from detector.learner import FIRST_BUILD
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.query import Record
from detector.settings import Settings
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, in_cuts, lines, records, saved

LEARNING = Settings(prior=False)
WAYS = ["frozen", "learning", "online"]


def attacked(models: tuple[str, ...] = ("toy",), sessions: int = 120) -> list[Record]:
    """Benign traffic with one search per model in it."""
    return records(
        *(scenario.benign(sessions, seed=2, model=model) for model in models),
        *(
            traffic.inversion(seed=3 + n, model=model, queries=150, at=traffic.START + 60.0 + n)
            for n, model in enumerate(models)
        ),
    )


def long_log() -> list[Record]:
    """Enough benign traffic to learn from online, and then a search."""
    return records(
        scenario.benign(700, seed=4), traffic.inversion(seed=3, queries=200, at=traffic.START + 3400.0)
    )


def way(name: str) -> tuple[Settings, Mapping[str, ModelProfile], list[Record]]:
    if name == "online":
        return LEARNING, {}, long_log()
    return (FROZEN if name == "frozen" else LEARNING), scenario.profiles("toy"), attacked()


@pytest.mark.parametrize("name", WAYS)
def test_batches_change_no_byte(name: str) -> None:
    settings, profiles, log = way(name)
    whole = Shard(settings, profiles).process(log)
    assert whole.queries == len(log)
    assert whole.alerts
    for size in (7, 1000) if name == "online" else (1, 7, 1000):
        cut = in_batches(Shard(settings, profiles), log, size)
        assert lines(cut.alerts) == lines(whole.alerts)
        assert cut.queries == len(log)


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 700), max_size=12).map(sorted), save=st.booleans())
def test_any_cuts_and_saves_change_no_byte(cuts: list[int], save: bool) -> None:
    profiles = scenario.profiles("toy")
    log = attacked(sessions=40)[:700]
    whole = Shard(LEARNING, profiles)
    expected = lines(whole.process(log).alerts)
    shard = Shard(LEARNING, profiles)
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        found += lines(shard.process(log[begin:end]).alerts)
        shard = saved(shard, LEARNING, profiles) if save else shard
    assert found == expected != []


@pytest.mark.parametrize("name", WAYS)
def test_saving_changes_nothing(name: str) -> None:
    settings, profiles, log = way(name)
    expected = lines(Shard(settings, profiles).process(log).alerts)
    shard = Shard(settings, profiles)
    found = []
    step = len(log) // 9
    for begin in range(0, len(log), step):
        found += lines(shard.process(log[begin : begin + step]).alerts)
        shard = saved(shard, settings, profiles)
    assert found == expected != []
    assert shard.next_offset == len(log)


def test_a_record_delivered_twice_counts_once() -> None:
    profiles, log = scenario.profiles("toy"), attacked()
    expected = lines(Shard(FROZEN, profiles).process(log).alerts)
    shard = Shard(FROZEN, profiles)
    found, repeated = [], 0
    for begin in range(0, len(log), 50):
        outcome = shard.process(log[max(0, begin - 30) : begin + 50])
        found += lines(outcome.alerts)
        repeated += outcome.repeated
    assert found == expected
    assert repeated == 30 * ((len(log) - 1) // 50)


def test_a_request_id_at_a_new_offset_counts_again() -> None:
    log = records(scenario.what_if(seed=1))
    assert len({record.request_id for record in log}) == 1
    outcome = Shard(FROZEN, {}).process(log)
    assert (outcome.queries, outcome.repeated) == (len(log), 0)


def test_alerts_of_several_models_come_in_record_order() -> None:
    models = ("alpha", "beta", "gamma")
    profiles, log = scenario.profiles(*models), attacked(models, sessions=60)
    whole = Shard(FROZEN, profiles).process(log).alerts
    assert {alert.document["service"]["name"] for alert in whole} == set(models)
    offsets = [alert.offset for alert in whole]
    assert offsets == sorted(offsets)
    assert lines(in_batches(Shard(FROZEN, profiles), log, 7).alerts) == lines(whole)


def test_the_search_alerts_and_the_rest_does_not() -> None:
    alerts = Shard(FROZEN, scenario.profiles("toy")).process(attacked()).alerts
    assert {alert.document["user"]["id"] for alert in alerts} == {"attacker-3"}
    assert [alert.document["event"]["sequence"] for alert in alerts] == list(range(len(alerts)))


def test_warm_up_has_no_opinion() -> None:
    log = long_log()
    shard = Shard(LEARNING, {})
    outcome = shard.process(log[: SAMPLE_QUERIES + 4 * FIRST_BUILD - 1])
    assert shard.models["toy"].profile is None
    assert outcome.alerts == []
    attack = records(traffic.inversion(seed=3, queries=800))
    assert Shard(LEARNING, {}).process(attack).alerts == []
    assert Shard(FROZEN, {}).process(log).alerts == []


def test_each_alert_names_the_profile_that_judged_it() -> None:
    log = records(scenario.benign(2400, seed=4), traffic.inversion(seed=3, at=traffic.START + 11_900.0))
    shard = Shard(LEARNING, {})
    versions: list[str] = []
    judged_by: set[str] = set()
    for begin in range(0, len(log), 100):
        profile = shard.models["toy"].profile if "toy" in shard.models else None
        before = profile.version if profile else None
        alerts = shard.process(log[begin : begin + 100]).alerts
        profile = shard.models["toy"].profile
        after = profile.version if profile else None
        said = {alert.document["querywatch"]["profile"]["version"] for alert in alerts}
        assert said <= {before, after}
        judged_by |= said
        versions += [after] if after and after not in versions else []
    assert [version.partition("-")[0] for version in versions] == [str(n + 1) for n in range(len(versions))]
    assert len(versions) >= 2
    assert judged_by
    assert judged_by <= set(versions)


def test_a_frozen_profile_never_changes() -> None:
    profiles = scenario.profiles("toy")
    shard = Shard(FROZEN, profiles)
    shard.process(long_log())
    assert shard.models["toy"].profile is profiles["toy"]
    learning = Shard(LEARNING, profiles)
    learning.process(long_log())
    learned = learning.models["toy"].profile
    assert learned is not None
    assert learned.version != profiles["toy"].version


def test_sessions_that_alerted_do_not_teach() -> None:
    log = attacked()
    shard = Shard(LEARNING, scenario.profiles("toy"))
    alerts = shard.process(log).alerts
    learner = shard.models["toy"].learner
    assert learner is not None
    assert alerts
    taught = learner.clean().entities
    attacker = next(s for s in learner.alerted)
    assert len(learner.alerted) == 1
    assert attacker not in taught
    begun_by = {(record.client_id, record.session_id) for record in log}
    assert shard.models["toy"].begun == len(begun_by)


def test_a_known_length_wins_over_the_first_record() -> None:
    profiles = scenario.profiles("toy")
    log = attacked()
    odd = Record(log[0].timestamp, "toy", "stranger", [1.0, 2.0], raw=b"as it came", offset=0)
    shifted = [odd, *(_moved(record, 1) for record in log)]
    outcome = Shard(FROZEN, profiles, source="topic", partition=3).process(shifted)
    (letter,) = outcome.dead_letters
    assert (letter.reason, letter.raw, letter.source, letter.partition, letter.offset) == (
        "input_length",
        b"as it came",
        "topic",
        3,
        0,
    )
    assert "2 numbers" in letter.detail
    assert "8 numbers" in letter.detail
    assert outcome.queries == len(log)
    assert [a.id for a in outcome.alerts] == [a.id for a in Shard(FROZEN, profiles).process(log).alerts]


def _moved(record: Record, by: int) -> Record:
    return Record(
        **{name: getattr(record, name) for name in Record.__struct_fields__ if name != "offset"},
        offset=record.offset + by,
    )


def _texts(log: list[Record]) -> list[Record]:
    """The same sessions asking with words, one for each number; the search changes one word at a time."""
    out = []
    for n, record in enumerate(log):
        words = [f"c{column}v{round(v)}" for column, v in enumerate(record.input)]
        if record.client_id.startswith("attacker"):
            words = [f"c{column}v{(n % 97 if column == n % 20 else 1)}" for column in range(20)]
        out.append(
            Record(
                record.timestamp,
                record.model_id,
                record.client_id,
                " ".join(words),
                record.session_id,
                probabilities=record.probabilities,
                offset=record.offset,
            )
        )
    return out


def test_texts_work_end_to_end() -> None:
    profiles = scenario.fit(_texts(records(scenario.benign(250, seed=1))))
    log = _texts(attacked())
    shard = Shard(FROZEN, profiles)
    outcome = shard.process(log)
    assert (outcome.queries, outcome.dead_letters) == (len(log), [])
    assert {alert.document["user"]["id"] for alert in outcome.alerts} == {"attacker-3"}
    number = Record(log[-1].timestamp, "toy", "c", [1.0] * traffic.D, offset=len(log))
    (letter,) = shard.process([number]).dead_letters
    assert "text" in letter.detail


def _answering(log: list[Record], kind: str) -> list[Record]:
    """The same queries in a log that tells less of the answers."""
    out = []
    for record in log:
        answer: dict[str, Any] = {}
        p = list(record.probabilities or [])
        if kind == "label":
            answer = {"label": f"class-{p.index(max(p))}"}
        elif kind == "confidence":
            answer = {"confidence": max(p)}
        out.append(
            Record(
                record.timestamp,
                record.model_id,
                record.client_id,
                record.input,
                record.session_id,
                offset=record.offset,
                **answer,
            )
        )
    return out


@pytest.mark.parametrize("kind", ["label", "confidence", "nothing"])
def test_logs_that_tell_less_are_judged_by_what_they_tell(kind: str) -> None:
    profiles = scenario.fit(_answering(records(scenario.benign(250, seed=1)), kind))
    outcome = Shard(FROZEN, profiles).process(_answering(attacked(), kind))
    assert {alert.document["user"]["id"] for alert in outcome.alerts} == {"attacker-3"}
    shown = outcome.alerts[0].document["querywatch"]["evidence"]["series"]["confidence"]
    assert all(isinstance(point, float) == (kind == "confidence") for point in shown)


def test_dead_letters_leave_the_good_around_them() -> None:
    profiles = scenario.profiles("toy")
    log = attacked()
    expected = lines(Shard(FROZEN, profiles).process(log).alerts)
    spread: list[Record] = []
    for record in log:
        spread.append(_moved(record, record.offset))
        nan = _moved(record, record.offset + 1)
        nan.input = [float("nan")] * traffic.D
        spread.append(nan)
    outcome = in_cuts(Shard(FROZEN, profiles), spread, [100, 333])
    assert lines(outcome.alerts) == expected
    assert [letter.reason for letter in outcome.dead_letters] == ["input_not_finite"] * len(log)
    assert outcome.queries == len(log)
