"""Sessions: the gap rule by event time, expiry, eviction at the bound; none of it depends on batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from detector.model_state import ModelState
from detector.pipeline import Shard
from detector.query import Record
from detector.records import Listed
from detector.register import FIRST_CAPACITY
from detector.sessions import EVICTED_SHARE, EXPIRE_EVERY, SessionTable
from detector.settings import Settings
from detector.shard_state import dump
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, records

GAP = FROZEN.gap
T = traffic.START


def ask(time: float, client: str = "c", session: str = "", offset: int = 0) -> Record:
    return Record(time, "m", client, [float(offset % 7)], session, offset=offset)


def at(*times: float) -> list[Record]:
    return [ask(time, offset=n) for n, time in enumerate(times)]


def model(shard: Shard) -> ModelState:
    return shard.models["m"]


def begun(log: list[Record]) -> int:
    shard = Shard(FROZEN, {})
    shard.process(log)
    return model(shard).begun


@pytest.mark.parametrize(
    ("times", "sessions"),
    [
        ((T, T + GAP), 1),
        ((T, T + GAP + 0.001), 2),
        ((T, T + 0.9 * GAP, T + 1.8 * GAP), 1),
        ((T, T + 1.1 * GAP, T + 2.2 * GAP), 3),
        ((T, T - 10 * GAP, T + 1.0), 1),
        ((T, T - 0.5 * GAP, T + 0.7 * GAP), 1),
        ((T, T, T), 1),
    ],
    ids=[
        "exact gap",
        "more",
        "no silence",
        "two silences",
        "very late",
        "late moves nothing back",
        "same time",
    ],
)
def test_a_session_ends_with_a_silence_in_event_time(times: tuple[float, ...], sessions: int) -> None:
    assert begun(at(*times)) == sessions


def test_sessions_are_told_apart_by_client_and_session_id() -> None:
    keys = [("a", ""), ("a", "1"), ("a", "2"), ("b", ""), ("b", "1"), ("a", ""), ("b", "1")]
    assert begun([ask(T + n, client, session, n) for n, (client, session) in enumerate(keys)]) == 5


def test_a_named_session_also_ends_with_a_silence() -> None:
    assert begun([ask(T, "a", "1", 0), ask(T + 2 * GAP, "a", "1", 1)]) == 2


def test_an_unnamed_session_is_named_by_its_client_and_start() -> None:
    log = records(traffic.inversion(seed=3, queries=60))
    for record in log:
        record.session_id = ""
    alert = Shard(FROZEN, scenario.profiles("toy")).process(log).alerts[0]
    assert alert.document["querywatch"]["session"]["id"] == "attacker-3@2025-10-09T08:55:00.000Z"


def assign(table: SessionTable, log: list[Record], gap: float = GAP) -> dict[str, int]:
    """Drive a table as its owner does, with each slot's last time; returns the slot of every client left."""
    last = np.full(table.bound, -np.inf)
    slot, fresh = np.zeros(len(log), dtype=np.int64), np.zeros(len(log), dtype=np.bool_)
    start, where = 0, {}
    while start < len(log):
        stop = table.assign(Listed(log), start, slot, fresh)
        for i in range(start, stop):
            last[slot[i]] = max(last[slot[i]], log[i].timestamp) if not fresh[i] else log[i].timestamp
            where[log[i].client_id] = int(slot[i])
        start = stop
        gone: set[int] = set()
        if table.sweep_due:
            gone |= set(table.sweep(last, gap).tolist())
        if start < len(log) and table.full:
            gone |= set(table.evict(np.zeros(table.capacity)).tolist())
        where = {client: s for client, s in where.items() if s not in gone}
    return where


def test_eviction_takes_the_least_recently_used_eighth_and_counts() -> None:
    table = SessionTable(16)
    log = [ask(T + n, f"c{n}") for n in range(16)] + [ask(T + 20, "c0"), ask(T + 21, "c1")]
    assert set(assign(table, log)) == {f"c{n}" for n in range(16)}
    assert (len(table), table.full, table.evicted) == (16, True, 0)
    left = assign(table, [ask(T + 22, "new")])
    assert table.evicted == 16 // EVICTED_SHARE == 2
    slots, fresh = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.bool_)
    table.assign(Listed([ask(T + 23, "c0"), ask(T + 23, "c4")]), 0, slots, fresh)
    assert not fresh.any()
    assert set(left) == {"new"}


def test_eviction_keeps_the_suspicious_longest() -> None:
    table = SessionTable(16)
    where = assign(table, [ask(T + n, f"c{n}") for n in range(16)])
    suspicion = np.zeros(16)
    suspicion[where["c0"]], suspicion[where["c1"]] = 9.0, 3.0
    order: list[int] = []
    while len(table):
        order += table.evict(suspicion[: table.capacity]).tolist()
    clients = [next(c for c, s in where.items() if s == slot) for slot in order]
    assert clients == [f"c{n}" for n in range(2, 16)] + ["c1", "c0"]
    assert table.evicted == 16


def test_a_search_outlives_a_flood_of_sessions() -> None:
    settings = Settings(learn=False, memory=60_000)
    profiles = scenario.profiles("toy")
    attack = traffic.inversion(seed=3, queries=240)
    begin, end = attack[100]["timestamp"], attack[101]["timestamp"]
    flood = [
        attack[0]
        | {"client_id": f"crowd-{n}", "session_id": "", "timestamp": begin + (end - begin) * n / 2000}
        for n in range(1, 2000)
    ]
    log = records(attack, flood)
    shard = Shard(settings, profiles)
    alerts = shard.process(log).alerts
    table = shard.models["toy"].sessions
    assert table.bound < 40
    assert table.evicted > 1900
    assert len({alert.document["event"]["id"] for alert in alerts}) == 1
    assert alerts[0].document["querywatch"]["session"]["queries"] < 100
    assert alerts[-1].document["querywatch"]["session"]["queries"] > 101


def test_sweeps_expire_the_idle_and_only_them() -> None:
    table = SessionTable(1 << 20)
    idle = [ask(T, f"idle-{n}") for n in range(100)]
    busy = [ask(T + 2 * GAP + n * 0.01, f"busy-{n % 50}") for n in range(EXPIRE_EVERY - 100)]
    left = assign(table, idle + busy)
    assert table.queries == EXPIRE_EVERY
    assert set(left) == {f"busy-{n}" for n in range(50)}
    assert len(table) == 50
    assert table.evicted == 0


def test_one_clock_far_ahead_expires_nobody_else() -> None:
    table = SessionTable(1 << 20)
    ahead = np.random.default_rng(2).random(EXPIRE_EVERY) < 0.4
    log = [
        ask(T + 1e9, "ahead") if wrong else ask(T + n * 0.001, f"c{n % 200}") for n, wrong in enumerate(ahead)
    ]
    left = assign(table, log)
    assert set(left) == {"ahead", *(f"c{n}" for n in range(200))}


def test_eviction_and_expiry_do_not_depend_on_batches() -> None:
    settings = Settings(memory=1, gap=5.0)
    rng = np.random.default_rng(3)
    log = [ask(T + n, f"c{int(rng.integers(40))}", offset=n) for n in range(1000)]
    whole = Shard(settings, {})
    whole.process(log)
    assert model(whole).sessions.evicted > 0
    for size in (1, 7, 333):
        cut = Shard(settings, {})
        in_batches(cut, log, size)
        assert dump(cut) == dump(whole)


def test_sweeps_do_not_depend_on_batches() -> None:
    settings = Settings(gap=600.0, learn=False)
    log = [ask(T + 0.1 * n, f"c{n // 20}", offset=n) for n in range(EXPIRE_EVERY + 5000)]
    whole = Shard(settings, {})
    whole.process(log)
    table = model(whole).sessions
    assert len(table) < 0.7 * len({record.client_id for record in log})
    assert table.evicted == 0
    for size in (1000, 4096):
        cut = Shard(settings, {})
        in_batches(cut, log, size)
        assert dump(cut) == dump(whole)


def test_many_tiny_sessions_stay_within_the_bound() -> None:
    memory = 8 << 20
    shard = Shard(Settings(memory=memory, learn=False), {})
    sessions, peaks = 100_000, []
    for begin in range(0, sessions, 10_000):
        shard.process([ask(T + 0.01 * n, f"c{n}", offset=n) for n in range(begin, begin + 10_000)])
        state = model(shard)
        peaks.append(sum(kind.nbytes for kind in (*state.entities, state.sessions, state.clients)))
    state = model(shard)
    assert state.begun == sessions
    assert max(peaks) <= memory
    assert len(state.sessions) <= state.sessions.bound
    assert state.sessions.evicted + len(state.sessions) == sessions
    assert all(later >= earlier for earlier, later in pairwise(peaks))


def test_a_table_saved_goes_on_where_it_was() -> None:
    rng = np.random.default_rng(5)
    log = [ask(T + n, f"c{int(rng.integers(400))}") for n in range(3000)]
    table = SessionTable(300)
    assign(table, log[:2000])
    copy = SessionTable.from_state(*table.state(), table.bound)
    assert FIRST_CAPACITY < table.used == copy.used
    assert assign(copy, log[2000:]) == assign(table, log[2000:])
    (meta, arrays), (copied, others) = table.state(), copy.state()
    assert copied == meta
    assert {name: array.tolist() for name, array in others.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
