"""Published detectors, each on a stream whose answer follows from its description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.detection.compare import alert_alarms, false_alarms, found, peer_alarms
from benchmarks.detection.peer_table import clustered_interval
from benchmarks.detection.peers import PEERS, Stream
from benchmarks.detection.peers.blacklight import Blacklight
from benchmarks.detection.peers.delta_similarity import DeltaSimilarity, benign_histograms, histograms
from benchmarks.detection.peers.half_space import BUDGET, HalfSpacePerQuery
from benchmarks.detection.peers.prada import Prada
from benchmarks.detection.peers.privmon import PrivMon
from benchmarks.detection.peers.rate_rule import RateRule
from benchmarks.detection.peers.stateful import StatefulDetection
from benchmarks.detection.tables import clopper_pearson
from benchmarks.traces.data import DATASETS
from benchmarks.traces.log import Session
from benchmarks.traces.recording import record
from benchmarks.traces.targets import Target, train
from detector.config import Config
from detector.query import FloatArray, IntArray


@pytest.fixture(scope="module")
def target() -> Target:
    return train("digits", 3)


def stream(target: Target, unit: FloatArray, clients: Sequence[int] | IntArray | None = None) -> Stream:
    """Queries one second apart, all of class 0."""
    n = len(unit)
    who = np.zeros(n, dtype=np.int64) if clients is None else np.asarray(clients)
    return Stream(target, unit, np.zeros(n, dtype=np.int64), np.arange(n, dtype=np.float64), who, who)


def honest(target: Target, n: int, seed: int = 0) -> FloatArray:
    """Rows of the model's own kind of data, none twice."""
    rows = target.population.draw(np.random.default_rng(seed), n) * 1.0
    jittered = rows + np.random.default_rng(seed).normal(0, 1e-3, rows.shape)
    return target.dataset.to_unit(jittered)


def round_a_centre(target: Target, n: int, size: float = 0.01) -> FloatArray:
    """Noise on one row: what a gradient estimate sends."""
    return honest(target, 1, 5) + size * np.random.default_rng(1).normal(size=(n, 64))


def test_prada_sees_two_clusters_of_distances_after_a_hundred(target: Target) -> None:
    seeds = honest(target, 150)
    # Jacobian augmentation: every row again, a fixed step away.
    trace = stream(target, np.vstack([seeds, seeds + 0.02]))
    first = int(Prada().alarms(trace, trace).argmax())
    assert 150 < first < 300
    assert (first + 1) % 10 == 0
    assert not Prada().alarms(trace, stream(target, honest(target, 100))).any()


def test_prada_takes_equal_distances_for_normal(target: Target) -> None:
    checks = stream(target, np.repeat(honest(target, 1), 200, axis=0))
    assert not Prada().alarms(checks, checks).any()


def test_prada_falls_to_accounts_in_turn(target: Target) -> None:
    rows = np.vstack([honest(target, 150), honest(target, 150) + 0.02])
    assert not Prada().alarms(stream(target, rows), stream(target, rows, np.arange(300) % 10)).any()


def test_stateful_detection_fires_at_the_51st_and_forgets(target: Target) -> None:
    trace = stream(target, round_a_centre(target, 120))
    assert np.flatnonzero(StatefulDetection().alarms(trace, trace)).tolist() == [50, 101]
    assert not StatefulDetection().alarms(trace, stream(target, honest(target, 100))).any()


def test_blacklight_sees_near_copies_across_clients(target: Target) -> None:
    copies = round_a_centre(target, 5, size=0.001)
    trace = stream(target, copies, np.arange(5))
    assert Blacklight().alarms(trace, trace).tolist() == [False, True, True, True, True]
    unrelated = stream(target, np.random.default_rng(0).random((50, 64)))
    assert not Blacklight().alarms(unrelated, unrelated).any()


def test_blacklight_counts_every_window(target: Target) -> None:
    """45 windows of 20 in 64 columns; whatever the salt, half a range away is another quantum."""
    row = np.full(64, 0.4)
    first, and_last = row.copy(), row.copy()
    first[:22] += 0.5
    and_last[:22] += 0.5
    and_last[-1] += 0.5
    shares_23 = stream(target, np.vstack([row, first]))
    shares_22 = stream(target, np.vstack([row, and_last]))
    assert Blacklight().alarms(shares_23, shares_23).tolist() == [False, True]
    assert Blacklight().alarms(shares_22, shares_22).tolist() == [False, False]


def test_privmon_needs_two_neighbours_of_any_client(target: Target) -> None:
    near = round_a_centre(target, 4, size=0.001)
    trace = stream(target, np.vstack([honest(target, 20), near]), np.arange(24))
    assert np.flatnonzero(PrivMon().alarms(trace, trace)).tolist() == [22, 23]


@pytest.mark.parametrize("name", DATASETS)
def test_privmon_can_fire_on_every_data_set(name: str) -> None:
    model = train(name, 3)
    trace = stream(model, np.repeat(honest(model, 1), 4, axis=0))
    assert PrivMon().alarms(trace, trace).tolist() == [False, False, True, True]


def test_privmon_keeps_what_was_suspicious_when_the_window_rolls(target: Target) -> None:
    far = np.random.default_rng(0).random((5100, 64)) * 50
    near = round_a_centre(target, 4, size=0.001)
    trace = stream(target, np.vstack([near, far, near[:1] + 0.0001]))
    alarm = PrivMon().alarms(trace, trace)
    assert np.flatnonzero(alarm).tolist() == [2, 3, 5104]


def in_sessions(target: Target, count: int, seed: int) -> Stream:
    """Honest sessions of 10 queries, one after the other."""
    return stream(target, honest(target, 10 * count, seed), np.arange(10 * count) // 10)


def test_half_space_trees_flag_what_no_history_session_reached(target: Target) -> None:
    strange = np.vstack([honest(target, 300, 1), np.random.default_rng(0).random((20, 64))])
    alarm = HalfSpacePerQuery().alarms(in_sessions(target, 200, 0), stream(target, strange))
    assert alarm[300:].mean() > 0.5
    assert alarm[:300].mean() < 0.02


def test_half_space_trees_spend_the_budget_on_sessions(target: Target) -> None:
    alarm = HalfSpacePerQuery(budget=2000.0).alarms(in_sessions(target, 300, 0), in_sessions(target, 300, 1))
    assert 0.1 < alarm.reshape(300, 10).any(axis=1).mean() < 0.35
    assert Config().detection.false_alert_budget == BUDGET


def test_half_space_trees_without_a_history_are_silent(target: Target) -> None:
    assert not HalfSpacePerQuery().alarms(stream(target, honest(target, 9)), in_sessions(target, 60, 0)).any()


def test_the_rule_counts_calls_within_an_hour(target: Target) -> None:
    unit = np.zeros((1200, 64))
    fast = stream(target, unit, np.arange(1200) % 2)
    assert np.flatnonzero(RateRule().alarms(fast, fast))[0] == 998
    slow = Stream(target, unit, fast.labels, fast.times * 20, fast.clients, fast.sessions)
    assert not RateRule().alarms(slow, slow).any()


@pytest.fixture(scope="module")
def taught(target: Target) -> tuple[DeltaSimilarity, Stream]:
    """Delta similarity, and the history that it was taught on."""
    history = stream(target, honest(target, 2000), np.arange(2000) % 10)
    judge = DeltaSimilarity()
    judge.network(history)
    return judge, history


def test_delta_similarity_knows_an_attack_it_was_taught_at_the_258th(
    target: Target, taught: tuple[DeltaSimilarity, Stream]
) -> None:
    judge, history = taught
    run = record(target, "hop_skip_jump", 400, 9, np.random.default_rng(11))
    unit = np.vstack([target.dataset.to_unit(run.inputs), honest(target, 400, 2)])
    alarm = judge.alarms(history, stream(target, unit, np.repeat([0, 1], 400)))
    assert np.flatnonzero(alarm)[0] == 257
    assert alarm[257:400].mean() > 0.9
    assert not alarm[400:].any()


def test_delta_similarity_sees_angles_and_no_sizes(
    target: Target, taught: tuple[DeltaSimilarity, Stream]
) -> None:
    judge, history = taught
    small, large = (
        judge.alarms(history, stream(target, round_a_centre(target, 300, size))) for size in (0.001, 0.1)
    )
    np.testing.assert_array_equal(small, large)


def test_delta_similarity_learns_from_one_client_at_a_time(target: Target) -> None:
    unit, clients = honest(target, 900), np.arange(900) % 3
    learned = benign_histograms(stream(target, unit, clients))
    assert [len(each) for each in learned] == [43, 43, 43]
    np.testing.assert_array_equal(learned[1], histograms(unit[1::3]))
    np.testing.assert_allclose(histograms(unit[:258]).max(), 1.0)
    assert benign_histograms(stream(target, unit, np.arange(900) % 4)) == []


def test_delta_similarity_teaches_each_history_once(
    target: Target, taught: tuple[DeltaSimilarity, Stream]
) -> None:
    judge, history = taught
    other = stream(target, honest(target, 20, 4))
    first, second = judge.network(history), judge.network(other)
    assert judge.network(history) is first is not second
    assert judge.network(other) is second


def session(target: Target, client: str, unit: FloatArray, attack: bool) -> Session:
    n = len(unit)
    return Session(
        session_id="s" + client,
        client_id=client,
        model_id=target.model_id,
        kind="nes" if attack else "ordinary",
        family="evasion" if attack else "benign",
        source_ip="192.0.2.1",
        user_agent="curl",
        request_prefix=client,
        inputs=target.dataset.from_unit(unit),
        answers=np.tile([0.9, 0.1], (n, 1)),
        times=np.arange(n, dtype=np.float64),
        own=np.full(n, attack),
    )


def test_peers_are_judged_by_whose_query_it_was(target: Target) -> None:
    attack = session(target, "a", round_a_centre(target, 60), True)
    calm = session(target, "b", honest(target, 60), False)
    repeating = session(target, "c", np.repeat(honest(target, 1, 9), 60, axis=0), False)
    alarms = peer_alarms(StatefulDetection(), [target], [calm], [calm, repeating, attack])
    assert [(one.kind, one.after, one.queries) for one in found(alarms[2:], [[attack]])] == [("nes", 51, 60)]
    wrong = false_alarms(alarms[:2], [target], [calm, repeating])
    assert (wrong.sessions, wrong.alarmed, wrong.anew) == ([1, 1], [0, 1], [0, 0])


def document(session: Session, position: int) -> dict[str, Any]:
    """As much of an alert as the rule looks at."""
    trigger = {"request_id": f"{session.request_prefix}-{position:04x}"}
    return {"service": {"name": session.model_id}, "querywatch": {"trigger": trigger}}


def test_alerts_are_judged_by_the_same_rule(target: Target) -> None:
    attack = session(target, "a", round_a_centre(target, 60), True)
    calm, twice = (session(target, "b", honest(target, 30, seed), False) for seed in (1, 2))
    twice = replace(twice, request_prefix="other")
    alarms = alert_alarms(
        [document(attack, 40), document(attack, 44), document(twice, 29)], [calm, twice, attack]
    )
    assert [one.after for one in found(alarms[2:], [[attack]])] == [41]
    wrong = false_alarms(alarms[:2], [target], [calm, twice])
    assert (wrong.sessions, wrong.alarmed, wrong.anew) == ([2], [1], [1])


def test_a_model_without_sessions_has_an_empty_stream(target: Target) -> None:
    other = train("cancer", 3)
    only = session(target, "b", honest(target, 20), False)
    stream = Stream.of(other, [only])
    assert (len(stream), stream.unit.shape, list(stream.by_client())) == (0, (0, 30), [])
    for peer in (Prada(), HalfSpacePerQuery()):
        assert [a.any() for a in peer_alarms(peer, [target, other], [only], [only])] == [False]


def test_the_interval_is_wider_where_false_alarms_come_from_few_clients() -> None:
    spread = clustered_interval([10] * 100, [1] * 50 + [0] * 50)
    lumped = clustered_interval([10] * 100, [10] * 5 + [0] * 95)
    assert spread == clopper_pearson(50, 1000)
    assert lumped[0] < spread[0] < 0.05 < spread[1] < lumped[1]
    assert clustered_interval([3, 4], [0, 0]) == clopper_pearson(0, 7)


def test_peers_have_names_of_their_own() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS) == 7
