"""How attackers hide: what a variant changes in the log, and what the truth says about it."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.traces import PLAIN, TRACE, Truth, Variant, make
from benchmarks.traces.recording import Recording, record
from benchmarks.traces.targets import Target, train
from benchmarks.traces.variants import BEYOND_GAP, DRIP, VARIANTS, disguise

SEED, QUERIES = 4, 60


def attacked(directory: Path, variant: Variant) -> tuple[Truth, list[dict[str, Any]]]:
    """A trace of one attack and nothing else, in this variant."""
    truth = make(
        directory, SEED, False, 4, 0, ["random_extraction"], queries=(QUERIES, QUERIES), variant=variant
    )
    return truth, [json.loads(line) for line in gzip.open(directory / TRACE)]


@pytest.fixture(scope="module")
def target() -> Target:
    return train("cancer", SEED)


@pytest.fixture(scope="module")
def recording(target: Target) -> Recording:
    return record(target, "random_extraction", QUERIES, 6, np.random.default_rng(1))


def test_plain_attacks_are_one_session_and_no_campaign(tmp_path: Path) -> None:
    truth, records = attacked(tmp_path, PLAIN)
    (attack,) = truth.attacks()
    assert (attack.queries, attack.attack_queries, attack.campaign) == (QUERIES, QUERIES, "")
    assert len(records) == QUERIES


def test_dummies_are_mixed_in(tmp_path: Path) -> None:
    truth, records = attacked(tmp_path, Variant(dilution=0.75))
    (attack,) = truth.attacks()
    assert (attack.attack_queries, attack.queries) == (QUERIES, 4 * QUERIES)
    assert len(records) == 4 * QUERIES


@pytest.mark.parametrize("accounts", [5, 25])
def test_accounts_take_turns_and_are_one_campaign(tmp_path: Path, accounts: int) -> None:
    truth, records = attacked(tmp_path, Variant(accounts=accounts))
    members = truth.attacks()
    assert len({member.client_id for member in members}) == len(members) == accounts
    (campaign,) = {member.campaign for member in members}
    assert campaign
    assert sum(member.attack_queries for member in members) == QUERIES
    turns = [record["client_id"] for record in records]
    assert turns[:accounts] == turns[accounts : 2 * accounts]
    assert len(set(turns[:accounts])) == accounts


def test_session_ids_change_under_one_client(tmp_path: Path) -> None:
    truth, records = attacked(tmp_path, Variant(session_queries=10))
    assert len({member.client_id for member in truth.attacks()}) == 1
    assert [member.queries for member in truth.attacks()] == [10] * 6
    assert len({member.campaign for member in truth.attacks()}) == 1
    ids = [record["session_id"] for record in records]
    assert ids == [first for first in ids[::10] for _ in range(10)]


@pytest.mark.parametrize("pause", [DRIP, BEYOND_GAP])
def test_slow_drips_pause_before_every_query(tmp_path: Path, pause: tuple[float, float]) -> None:
    truth, records = attacked(tmp_path, Variant(pause=pause, first=40))
    gaps = np.diff([record["timestamp"] for record in records])
    assert len(records) == 40 == truth.attacks()[0].queries
    assert pause[0] - 0.001 <= gaps.min()
    assert gaps.max() <= pause[1] + 0.001


def test_jittered_queries_are_answered_by_the_model(target: Target, recording: Recording) -> None:
    sent = disguise(recording, Variant(jitter=0.02), target, np.random.default_rng(2))
    data = target.dataset
    moved = np.abs(sent.inputs - recording.inputs) / (data.high - data.low)
    assert 0.01 < moved.mean() < 0.03
    np.testing.assert_array_equal(sent.answers, target.predict(sent.inputs))
    assert (sent.inputs >= data.low - 1e-9).all()
    assert (sent.inputs <= data.high + 1e-9).all()


def test_shuffling_stays_within_its_windows(target: Target, recording: Recording) -> None:
    sent = disguise(recording, Variant(shuffle=16), target, np.random.default_rng(2))
    place: dict[bytes, list[int]] = defaultdict(list)
    for i, row in enumerate(recording.inputs):
        place[row.tobytes()].append(i)
    moved = [place[row.tobytes()].pop(0) for row in sent.inputs]
    assert sorted(moved) == list(range(QUERIES)) != moved
    assert [i // 16 for i in moved] == [i // 16 for i in range(QUERIES)]


def test_named_variants_are_in_range_and_differ() -> None:
    for variant in VARIANTS.values():
        variant.check()
    assert len(set(VARIANTS.values())) == len(VARIANTS)
    assert VARIANTS["plain"].settings() == {}
    assert VARIANTS["90% dummies"].settings() == {"dilution": 0.9}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dilution": 0.99}, "dilution"),
        ({"jitter": -0.1}, "jitter"),
        ({"accounts": 0}, "accounts"),
        ({"first": -1}, "first"),
        ({"pause": (5.0, 1.0)}, "pause"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(PLAIN, **change).check()


def test_the_truth_tells_who_writes_as_the_source_does(tmp_path: Path) -> None:
    attacks = ("spsa", "random_extraction")
    truth = make(tmp_path, 1, history_sessions=1, benign_sessions=1, attacks=attacks, repeats=6, natural=0.5)
    assert {session.natural for session in truth.attacks()} == {True, False}
    assert not any(session.natural for session in truth.sessions if session.family == "benign")
