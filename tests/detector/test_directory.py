"""Keys of ids, and the table that finds their numbers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detector import pool
from detector.directory import Directory
from detector.keys import Keys, blake2b_128, keys_of
from detector.pool import longer

ROOT = Path(__file__).parents[2]


def test_digests_are_blake2b() -> None:
    messages = [bytes(range(256))[:n] * 2 for n in (0, 1, 60, 63, 64, 65, 127, 128, 129, 255)]
    out = np.empty((len(messages), 2), dtype=np.uint64)
    blake2b_128(np.frombuffer(b"".join(messages), dtype=np.uint8), np.cumsum([len(m) for m in messages]), out)
    assert [row.tobytes() for row in out] == [
        hashlib.blake2b(message, digest_size=16).digest() for message in messages
    ]


def test_tuples_have_one_key_only_if_they_are_equal() -> None:
    rows = [("a", "b"), ("ab", ""), ("", "ab"), ("a", "bé"), ("aé", "b"), ("a", "b\udc80"), ("a\0b", "")]
    keys = [tuple(keys_of(([a], [b]))[0].tolist()) for a, b in rows]
    assert len(set(keys)) == len(rows)
    together = keys_of(([a for a, _ in rows], [b for _, b in rows]))
    assert [tuple(key) for key in together.tolist()] == keys
    assert len(keys_of(([], []))) == 0


def keys(count: int, seed: int) -> Keys:
    """Keys of which many fall on the same places of the index."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, 50, count), np.arange(count)], axis=1).astype(np.uint64)


@pytest.mark.parametrize("seed", range(5))
def test_entries_come_and_go_as_in_a_dict(seed: int) -> None:
    rng = np.random.default_rng(seed)
    directory, lent, expected = Directory(), pool.make(700), dict[int, int]()
    directory.grow(700)
    longer(lent.back, 700)
    every = keys(2000, seed)
    for _ in range(60):
        rows = rng.integers(0, 2000, 60)
        some, found = every[rows], directory.find(every[rows])
        assert found.tolist() == [expected.get(row, -1) for row in rows.tolist()]
        begun = directory.add_new(some, np.flatnonzero(found < 0), found, lent)
        expected |= {int(rows[i]): int(found[i]) for i in begun}
        assert (found >= 0).all() or lent.exhausted
        gone = rng.permutation(sorted(expected))[: int(rng.integers(60))].tolist()
        numbers = np.array([expected.pop(row) for row in gone], dtype=np.int64)
        directory.remove(numbers)
        pool.give_back_many(lent, numbers)
        assert len(directory) == len(expected) == lent.lent
    copy = Directory()
    copy.load(directory.keys, np.array(sorted(expected.values()), dtype=np.int64))
    assert copy.find(every).tolist() == directory.find(every).tolist()


def test_numbers_run_out_in_order() -> None:
    directory, lent = Directory(), pool.make(3)
    directory.grow(3)
    found = np.full(6, -1, dtype=np.int64)
    twice = keys(6, 1)
    twice[1] = twice[0]
    assert directory.add_new(twice, np.arange(6), found, lent).tolist() == [0, 2, 3]
    assert found.tolist() == [0, 0, 1, 2, -1, -1]
    assert lent.exhausted


def longest_search(directory: Directory) -> int:
    """Most places in a row that are taken: no search is longer."""
    taken = np.concatenate([directory._index, directory._index]) >= 0
    edges = np.flatnonzero(~taken)
    return int(np.diff(edges).max()) - 1


@pytest.mark.parametrize("low", [0, 1 << 20])
def test_chosen_keys_do_not_crowd(low: int) -> None:
    count = 20_000
    numbers = np.arange(count, dtype=np.uint64)
    chosen = np.stack([(numbers << np.uint64(22)) + np.uint64(low), numbers], axis=1)
    directory, lent = Directory(), pool.make(count)
    directory.grow(count)
    longer(lent.back, count)
    found = np.full(count, -1, dtype=np.int64)
    directory.add_new(chosen, np.arange(count), found, lent)
    assert longest_search(directory) < 1000
    copy = Directory()
    copy.load(directory.keys, np.arange(count))
    assert longest_search(copy) < 1000
    assert copy.find(chosen).tolist() == found.tolist()


def test_where_a_search_begins_is_a_secret_of_the_process() -> None:
    said = "from detector.keys import SECRET; print(*SECRET.tolist())"
    told = {
        subprocess.run(
            [sys.executable, "-c", said],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"},
            capture_output=True,
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(told) == 2
