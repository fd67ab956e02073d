"""Clients as entities: what changes its session id, or waits long between queries, is still one search."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.clients import ClientTable
from detector.following import LONG_RUN, LONG_STRETCH, follow
from detector.pipeline import Shard
from detector.query import Record
from detector.records import Listed
from detector.register import FIRST_CAPACITY
from detector.sessions import EVICTED_SHARE, SessionTable
from detector.settings import Settings
from detector.shard_state import dump
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, lines, records, saved

Query = dict[str, Any]
GAP = FROZEN.gap


def attack(**changes: Callable[[int, Query], Any]) -> list[Query]:
    """A search whose queries are changed by their number."""
    log = traffic.inversion(seed=3, queries=240)
    return [query | {key: change(n, query) for key, change in changes.items()} for n, query in enumerate(log)]


def changing_sessions() -> list[Query]:
    """A new session id every 7 queries: none is long enough to be evaluated."""
    return attack(session_id=lambda n, _: f"s-{n // 7}")


def slow_drip() -> list[Query]:
    """No session id, and longer than the gap between two queries."""
    return attack(session_id=lambda *_: "", timestamp=lambda n, _: traffic.START + n * 1.1 * GAP)


def alerts_on(log: list[Query], settings: Settings = FROZEN) -> list[dict[str, Any]]:
    shard = Shard(settings, scenario.profiles("toy"))
    everything = records(scenario.benign(60, seed=2), log)
    return [alert.document for alert in shard.process(everything).alerts]


def in_bursts(queries: int) -> list[Query]:
    """No session id, and after so many queries longer than the gap before the next."""
    return attack(session_id=lambda *_: "", timestamp=lambda n, q: q["timestamp"] + n // queries * 1.1 * GAP)


LOGS = {"session ids": changing_sessions(), "slow drip": slow_drip(), "bursts": in_bursts(7)}


@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)
def test_a_search_over_many_sessions_is_the_clients(log: list[Query]) -> None:
    found = alerts_on(log)
    assert len({alert["event"]["id"] for alert in found}) == 1
    first = found[0]
    ours = first["querywatch"]
    assert ours["entity"] == {"kind": "client", "id": "attacker-3"}
    assert first["user"]["id"] == "attacker-3"
    assert first["rule"]["id"] == "querywatch-client-search"
    assert ours["client"]["sessions"] > 3
    assert ours["client"]["queries"] < 200
    assert f"in {ours['client']['sessions']} sessions" in first["event"]["reason"]
    assert ours["technique"]["name"] != "model_probing"


@pytest.mark.parametrize("silence", [True, False])
def test_a_client_is_judged_anew_after_a_silence(silence: bool) -> None:
    """What an ordinary client sent before it, in 14 sessions, is not the search's."""
    search = changing_sessions()
    begin = search[0]["timestamp"] - (1.1 if silence else 0.9) * GAP
    ordinary = [
        query | {"client_id": "attacker-3", "session_id": f"o-{n // 8}", "timestamp": begin - 112 + n}
        for n, query in enumerate(traffic.benign(8, seed=9)[:112])
    ]
    assert len(ordinary) >= LONG_STRETCH
    client = alerts_on([*ordinary, *search])[0]["querywatch"]["client"]
    assert client["sessions"] > (3 if silence else 16)
    assert (client["queries"] <= 7 * (client["sessions"] - 1)) == silence


bursts = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1]),
        st.sampled_from([1, LONG_RUN - 1, LONG_RUN, LONG_STRETCH - LONG_RUN]),
        st.sampled_from([1, 7, 100]),
        st.sampled_from([1, 9, 11]),
    ),
    min_size=8,
    max_size=20,
)


@given(bursts, st.lists(st.integers(1, 400), max_size=4))
def test_stretches_are_those_of_a_list(sent: list[tuple[int, int, int, int]], cuts: list[int]) -> None:
    """Sessions are counted, and slots begin anew, as a client's whole list of queries tells. Bursts: of whom,
    how many queries, how many a session, and how long after the burst before."""
    gap = 10.0
    owner = np.repeat([c for c, *_ in sent], [n for _, n, *_ in sent])
    fresh = np.concatenate([np.arange(n) % each == 0 for _, n, each, _ in sent])
    waited = np.concatenate([np.r_[pause, np.zeros(n - 1)] for _, n, _, pause in sent])
    time, n = 1e9 + np.cumsum(waited), len(owner)
    table = ClientTable(8, 8)
    join(table, SessionTable(8), [Record(1.0, "m", f"c{c}", [0.0], "s") for c in range(2)])
    slots = table.slots
    client, begun = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    new = np.zeros(n, dtype=np.bool_)
    lent = (slots.slot_of, slots.seen, slots.free, slots.unused)
    columns = (owner, fresh, time, table.stretches, *lent, client, new, begun)
    ends = sorted({0, n, *(cut for cut in cuts if cut < n)})
    for start, stop in pairwise(ends):
        assert follow(start, stop, 0, gap, *columns) == stop
    for c in range(2):
        mine = np.flatnonzero(owner == c).tolist()
        sessions = stretch = run = 0
        for i, before in zip(mine, [None, *mine], strict=False):
            if before is not None and time[i] - time[before] > gap:
                if stretch >= LONG_STRETCH and run >= LONG_RUN:
                    sessions = stretch = 0
                run = 0
            sessions, stretch, run = sessions + int(fresh[i]), stretch + 1, run + 1
            assert begun[i] == sessions
            assert (client[i] >= 0) == (sessions > 1)
            assert new[i] == (fresh[i] and sessions == 2)


def test_an_unnamed_session_of_the_trigger_is_not_named() -> None:
    assert "session" not in alerts_on(slow_drip())[0]["querywatch"]
    assert alerts_on(changing_sessions())[0]["querywatch"]["session"]["id"].startswith("s-")


def test_the_sessions_of_one_client_do_not_alert_twice() -> None:
    """A client with ordinary sessions before and one search: the session tells, the client is silent."""
    before = attack(
        session_id=lambda n, _: f"before-{n // 8}", timestamp=lambda n, q: q["timestamp"] - 3 * GAP
    )[:40]
    ordinary = traffic.benign(5, seed=9)
    calm = [
        a | {key: b[key] for key in ("input", "probabilities")}
        for a, b in zip(before, ordinary, strict=False)
    ]
    found = alerts_on([*calm, *attack()])
    assert {alert["querywatch"]["entity"]["kind"] for alert in found} == {"session"}
    assert len({alert["event"]["id"] for alert in found}) == 1


def test_a_session_is_silent_while_the_client_has_told() -> None:
    """Short sessions first, then a long one that would alert by itself."""
    log = attack(session_id=lambda n, _: f"s-{n // 7}" if n < 120 else "long")
    found = alerts_on(log)
    assert {alert["querywatch"]["entity"]["kind"] for alert in found} == {"client"}
    assert [alert["event"]["kind"] for alert in found] == ["alert"] + ["event"] * (len(found) - 1)
    assert len({alert["event"]["id"] for alert in found}) == 1


def test_clients_of_other_tenants_are_others() -> None:
    log = attack(session_id=lambda n, _: f"s-{n // 7}", tenant_id=lambda n, _: f"tenant-{n % 40}")
    assert alerts_on(log) == []


def test_ids_are_the_same_each_time() -> None:
    def ids() -> list[str]:
        everything = records(scenario.benign(60, seed=2), changing_sessions())
        return [alert.id for alert in Shard(FROZEN, scenario.profiles("toy")).process(everything).alerts]

    assert ids() == ids() != []
    assert len(set(ids())) == len(ids())


@pytest.mark.parametrize("settings", [FROZEN, Settings(), Settings(memory=120_000)], ids=str)
@pytest.mark.parametrize("size", [1, 61])
def test_batches_and_saves_change_no_byte(settings: Settings, size: int) -> None:
    profiles = scenario.profiles("toy")
    log = records(
        scenario.benign(100, seed=2), changing_sessions(), attack(client_id=lambda n, _: f"c{n % 9}")
    )
    whole = Shard(settings, profiles)
    expected = lines(whole.process(log).alerts)
    cut = Shard(settings, profiles)
    assert lines(in_batches(cut, log, size).alerts) == expected != []
    assert dump(cut) == dump(whole)
    restored = Shard(settings, profiles)
    found = []
    for begin in range(0, len(log), 250):
        restored = saved(restored, settings, profiles)
        found += lines(restored.process(log[begin : begin + 250]).alerts)
    assert found == expected
    assert dump(restored) == dump(whole)


def test_clients_that_alerted_do_not_teach() -> None:
    shard = Shard(Settings(), scenario.profiles("toy"))
    shard.process(records(scenario.benign(60, seed=2), changing_sessions()))
    learner = shard.models["toy"].learner
    assert learner is not None
    (attacker,) = learner.clients_alerted
    for kind in (0, 1):
        assert attacker not in learner.clean(kind).owners


def join(table: ClientTable, sessions: SessionTable, log: list[Record]) -> None:
    """Drive both tables as their owner does, all sessions being new."""
    slot, fresh = np.zeros(len(log), dtype=np.int64), np.zeros(len(log), dtype=np.bool_)
    assert sessions.assign(Listed(log), 0, slot, fresh) == len(log)
    start = 0
    while start < len(log):
        start = table.join(sessions.owner, Listed(log), start, len(log), slot, fresh)
        if start < len(log):
            table.evict()


def test_clients_without_an_open_session_are_forgotten_first() -> None:
    table, sessions = ClientTable(64, 8), SessionTable(1 << 10)
    join(table, sessions, [Record(1.0, "m", f"c{n}", [0.0], "s") for n in range(64)])
    assert (len(table), table.evicted) == (64, 0)
    table.leave(np.arange(10, 64))
    join(table, sessions, [Record(2.0, "m", "new", [0.0], "s")])
    assert table.evicted == 64 // EVICTED_SHARE
    still = [Record(3.0, "m", f"c{n}", [0.0], "t") for n in range(10)]
    before = len(table)
    join(table, sessions, still)
    assert len(table) == before


def test_many_clients_with_many_sessions_stay_within_the_bound() -> None:
    memory = 4 << 20
    shard = Shard(Settings(memory=memory, learn=False), {})
    clients = [f"c{n % 300 if n % 2 else n}" for n in range(30_000)]
    log = [
        Record(traffic.START + n, "m", client, [float(n % 5)], f"s{n}", offset=n)
        for n, client in enumerate(clients)
    ]
    shard.process(log)
    state = shard.models["m"]
    held = sum(kind.nbytes for kind in (*state.entities, state.sessions, state.clients, state.odd))
    assert held <= memory
    assert state.clients.evicted > 0
    assert len(state.clients) <= state.clients.bound
    assert FIRST_CAPACITY < state.clients.slots.capacity <= state.clients.slots.bound
