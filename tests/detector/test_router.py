"""Which model a record belongs to: input lengths that hold, that change, and that must not."""

from __future__ import annotations

import tracemalloc

import pytest

from detector.pipeline import Shard
from detector.query import Record
from detector.router import MOST_MODELS, MOST_ODD
from detector.shard_state import canonical_digest, dump
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, saved


def _of_length(length: int, clients: list[str], start: int) -> list[Record]:
    return [
        Record(traffic.START + n, "m", client, [float(n % 5)] * length, offset=n)
        for n, client in enumerate(clients, start)
    ]


def test_without_a_profile_a_first_odd_record_is_overruled() -> None:
    odd = _of_length(3, ["odd"], 0)
    usual = _of_length(5, [f"client-{n % 4}" for n in range(40)], 1)
    outcome = in_batches(Shard(FROZEN, {}), odd + usual, 7)
    # The first three good ones are dead letters; the fourth decides.
    assert [letter.offset for letter in outcome.dead_letters] == [1, 2, 3]
    assert outcome.queries == 1 + 37


@pytest.mark.parametrize(("clients", "queries", "switches"), [(2, 200, False), (3, 25, False), (3, 41, True)])
def test_a_new_length_needs_several_clients_and_queries(clients: int, queries: int, switches: bool) -> None:
    usual = _of_length(5, ["a", "b"] * 20, 0)
    other = _of_length(7, [f"client-{n % clients}" for n in range(queries)], len(usual))
    shard = Shard(FROZEN, {})
    outcome = in_batches(shard, usual + other, 9)
    assert shard.models["m"].d == (7 if switches else 5)
    # 40 usual queries came before: 16 + 40 / 4 of another length are needed.
    assert len(outcome.dead_letters) == (25 if switches else queries)


def test_odd_lengths_are_remembered_when_saved() -> None:
    usual = _of_length(5, ["a", "b"] * 20, 0)
    other = _of_length(7, [f"client-{n % 3}" for n in range(26)], len(usual))
    shard = Shard(FROZEN, {})
    shard.process(usual + other[:25])
    outcome = saved(shard, FROZEN, {}).process(other[25:])
    assert (outcome.queries, outcome.dead_letters) == (1, [])


@pytest.mark.parametrize("cut", range(1, 7))
def test_a_restart_among_the_first_records_changes_nothing(cut: int) -> None:
    log = _of_length(3, ["odd"], 0) + _of_length(5, [f"client-{n % 4}" for n in range(10)], 1)
    whole, before = Shard(FROZEN, {}), Shard(FROZEN, {})
    outcome = whole.process(log)
    first = before.process(log[:cut])
    after = saved(before, FROZEN, {})
    second = after.process(log[cut:])
    assert first.queries + second.queries == outcome.queries
    assert first.dead_letters + second.dead_letters == outcome.dead_letters
    assert canonical_digest(dump(after)) == canonical_digest(dump(whole))


def test_there_is_an_end_to_models_and_odd_lengths() -> None:
    shard = Shard(FROZEN, {})
    log = [Record(1.0 + n, f"m{n}", "c", [1.0, 2.0], offset=n) for n in range(MOST_MODELS + 5)]
    outcome = shard.process(log)
    assert outcome.queries == MOST_MODELS
    assert [letter.reason for letter in outcome.dead_letters] == ["too_many_models"] * 5
    odd = [Record(1.0, "m0", "c", [0.0] * (3 + n), offset=len(log) + n) for n in range(MOST_ODD + 50)]
    assert len(shard.process(odd).dead_letters) == MOST_ODD + 50
    assert len(shard.odd) == MOST_ODD
    more = shard.process([Record(2.0, "m0", "c", [3.0, 4.0], offset=len(log) + len(odd))])
    assert more.queries == 1


def test_a_few_accounts_cannot_talk_a_busy_model_into_another_length() -> None:
    log: list[Record] = []
    for _ in range(40):
        log += _of_length(5, [f"client-{n}" for n in range(60)], len(log))
        log += _of_length(2, ["x", "y", "z"] * 6, len(log))
    shard = Shard(FROZEN, {})
    outcome = shard.process(log)
    assert shard.models["m"].d == 5
    assert outcome.queries == 40 * 60


def test_a_record_with_very_many_probabilities_takes_no_memory_for_the_others() -> None:
    def log(widths: dict[int, int]) -> list[Record]:
        return [
            Record(float(n), "m", f"c{n % 7}", [1.0, float(n % 5)], offset=n,
                   probabilities=[1.0 / widths.get(n, 2)] * widths.get(n, 2))
            for n in range(1, 4097)
        ]  # fmt: skip

    Shard(FROZEN, {}).process(log({}))  # compiles
    records = log({5: 32_768, 900: 32_768, 4000: 20_000})
    together, alone = Shard(FROZEN, {}), Shard(FROZEN, {})
    tracemalloc.start()
    outcome = together.process(records)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150 << 20
    assert outcome.queries == in_batches(alone, records, 100).queries == 4096
    assert canonical_digest(dump(together)) == canonical_digest(dump(alone))


def test_a_given_profile_settles_the_length_for_good() -> None:
    profiles = scenario.profiles("toy")
    d = profiles["toy"].input_length
    odd = [Record(1.0 + n, "toy", f"c{n % 9}", [1.0] * (d + 1), offset=n) for n in range(3000)]
    outcome = Shard(FROZEN, profiles).process(odd)
    assert outcome.queries == 0
    assert len(outcome.dead_letters) == 3000
