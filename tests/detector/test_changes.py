"""Large states saved by what changed: whole again from the pieces, and few bytes where little changed."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import shard_state
from detector.changes import MOST_PIECES, Change, due, from_bytes, joined, take, to_bytes, whole
from detector.container import Damaged
from detector.errors import StateError
from detector.pipeline import Shard
from detector.query import Record
from detector.settings import Settings
from detector.shard_state import VERSION, Snapshot, dump, put_back, restore, snapshot
from detector.state_header import Pieces
from detector.state_store import StateStore
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import records

FROZEN = Settings(learn=False, gap=600.0)


@pytest.fixture(autouse=True)
def no_state_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_state, "SMALL", 0)


def log() -> list[Record]:
    """Honest sessions of two models, a search, and clients that come back after their gap."""
    return records(
        scenario.benign(150, seed=2),
        scenario.benign(40, seed=3, model="other"),
        traffic.inversion(seed=3, queries=200),
    )


def shard_of() -> Shard:
    return Shard(FROZEN, scenario.profiles("toy"), "topic", 4)


def parts(count: int) -> Iterator[list[Record]]:
    whole_log = log()
    for begin, end in pairwise(np.linspace(0, len(whole_log), count + 1).astype(int).tolist()):
        yield whole_log[begin:end]


def saved(shard: Shard, pieces: list[bytes]) -> Snapshot:
    """A snapshot whose changes were added to the pieces."""
    copy = snapshot(shard)
    pieces.append(to_bytes(copy.changes))
    return copy


def test_pieces_and_the_state_give_the_same_shard_at_every_save() -> None:
    shard = shard_of()
    pieces: list[bytes] = []
    for part in parts(7):
        shard.process(part)
        copy = saved(shard, pieces)
        again = restore(copy.packed(), FROZEN, scenario.profiles("toy"), pieces)
        assert dump(again) == dump(shard)
    assert len(pieces[-1]) < 0.5 * len(pieces[0]) + 0.5 * len(to_bytes(whole(joined(pieces) or {})))


def test_a_restored_shard_goes_on_with_the_pieces_that_made_it() -> None:
    shard = shard_of()
    pieces: list[bytes] = []
    for part in parts(5):
        shard.process(part)
        copy = saved(shard, pieces)
        shard = restore(copy.packed(), FROZEN, scenario.profiles("toy"), pieces)
    undisturbed = shard_of()
    undisturbed.process(log())
    assert dump(shard) == dump(undisturbed)


def test_pieces_made_into_one_say_the_same() -> None:
    shard = shard_of()
    pieces: list[bytes] = []
    for part in parts(4):
        shard.process(part)
        copy = saved(shard, pieces)
    one = to_bytes(whole(joined(pieces) or {}))
    assert dump(restore(copy.packed(), FROZEN, scenario.profiles("toy"), [one])) == dump(shard)
    assert joined(pieces, lambda: True) is None


def test_what_could_not_be_saved_is_in_the_next_piece() -> None:
    shard = shard_of()
    pieces: list[bytes] = []
    first, second, third = parts(3)
    shard.process(first)
    saved(shard, pieces)
    shard.process(second)
    lost = snapshot(shard).changes
    shard.process(third)
    put_back(shard, lost)
    copy = saved(shard, pieces)
    assert dump(restore(copy.packed(), FROZEN, scenario.profiles("toy"), pieces)) == dump(shard)


def test_a_small_state_is_whole_by_itself_and_begins_anew_when_it_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = shard_of()
    first, second = parts(2)
    shard.process(first)
    to_bytes(snapshot(shard).changes)
    with monkeypatch.context() as patched:
        patched.setattr(shard_state, "SMALL", 2**30)
        small = snapshot(shard)
    assert small.changes == {}
    assert dump(restore(small.packed(), FROZEN, scenario.profiles("toy"))) == dump(shard) == small.packed()
    shard.process(second)
    copy = snapshot(shard)
    alone = restore(copy.packed(), FROZEN, scenario.profiles("toy"), [to_bytes(copy.changes)])
    assert dump(alone) == dump(shard)


def test_a_model_that_began_anew_takes_nothing_from_its_old_pieces() -> None:
    """It has another input length from some query on, and its rows another length with it."""
    short = [
        Record(float(n), "m", f"client-{n}", [1.0, float(n)], probabilities=[0.5, 0.5], offset=n)
        for n in range(2)
    ]
    longer = [
        Record(float(n), "m", f"client-{n}", [1.0, 2.0, float(n)], probabilities=[0.5, 0.5], offset=n)
        for n in range(2, 40)
    ]
    shard = Shard(FROZEN, {})
    pieces: list[bytes] = []
    for part in (short, longer):
        shard.process(part)
        copy = saved(shard, pieces)
    assert shard.models["m"].d == 3
    assert dump(restore(copy.packed(), FROZEN, {}, pieces)) == dump(shard)


def test_only_flagged_rows_are_taken() -> None:
    array, flags = np.arange(20).reshape(10, 2), np.zeros(16, dtype=np.uint8)
    flags[[3, 7, 12]] = 1
    change = take(array, flags)
    assert (change.length, change.numbers.tolist(), change.rows.tolist()) == (10, [3, 7], [[6, 7], [14, 15]])
    assert not flags.any()


def test_pieces_are_joined_when_there_are_many_or_they_are_large() -> None:
    changes = whole({"a": np.zeros((100, 10), dtype=np.uint8)})
    assert not due([1999], changes)
    assert due([2001], changes)
    assert due([1] * MOST_PIECES, changes)


@pytest.mark.parametrize("numbers", [[5], [-1]])
def test_pieces_that_do_not_fit_are_refused(numbers: list[int]) -> None:
    rows = np.zeros((1, 2), dtype=np.uint8)
    beyond = to_bytes({"a": Change(5, np.array(numbers), rows)})
    with pytest.raises(Damaged, match="beyond its end"):
        joined([beyond])
    first = to_bytes({"a": Change(5, np.array([0]), rows)})
    wider = to_bytes({"a": Change(5, np.array([0]), np.zeros((1, 3), dtype=np.uint8))})
    with pytest.raises(Damaged, match="another shape"):
        joined([first, wider])
    with pytest.raises(Damaged):
        from_bytes(first[:-1])


def kept(store: StateStore) -> set[str]:
    return {path.name for path in store.directory.glob("*.rows-*")}


def saved_in_pieces(folder: Path) -> tuple[StateStore, list[Pieces], bytes]:
    """Three saves of a shard, each with the pieces before and its own; and the whole state of the second."""
    store = StateStore(folder, "topic", VERSION)
    store.open()
    shard, second = shard_of(), b""
    pieces: Pieces = ()
    found: list[Pieces] = []
    for n, part in enumerate(parts(3)):
        shard.process(part)
        copy = snapshot(shard)
        rows = to_bytes(copy.changes)
        pieces = (*pieces, store.piece(4, copy.next_offset, rows))
        assert store.save(4, copy.packed(), copy.next_offset, pieces, rows)
        found.append(pieces)
        second = dump(shard) if n == 1 else second
    return store, found, second


def loaded(store: StateStore) -> Shard | None:
    return store.load(4, lambda data, rows: restore(data, FROZEN, scenario.profiles("toy"), rows)).state


@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_state_with_a_damaged_piece_is_not_used_and_the_one_before_is(tmp_path: Path, harm: str) -> None:
    store, pieces, second = saved_in_pieces(tmp_path)
    newest = loaded(store)
    assert newest is not None
    assert newest.next_offset == len(log())
    path = store.directory / pieces[-1][-1].name
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if harm == "cut" else content[:-9] + b"x" + content[-8:])
    before = loaded(store)
    assert before is not None
    assert dump(before) == second
    with pytest.raises(StateError):
        store.read(pieces[-1][-1])


def test_pieces_go_when_no_state_names_them(tmp_path: Path) -> None:
    store, pieces, _ = saved_in_pieces(tmp_path)
    assert kept(store) == {piece.name for piece in pieces[-1]}
    (store.directory / "topic-4.rows-1-left-by-a-crash").touch()
    (store.directory / "topic-44.rows-1-of-another-partition").touch()
    rows = b"one of all"
    one = (store.piece(4, 10**6, rows),)
    assert store.save(4, b"state", 10**6, one, rows)
    assert kept(store) == {piece.name for piece in (*pieces[-1], *one)} | {
        "topic-44.rows-1-of-another-partition"
    }, "the state before still needs its pieces"
    assert store.save(4, b"state", 10**6, one, rows)
    assert kept(store) == {one[0].name, "topic-44.rows-1-of-another-partition"}
    assert stat.S_IMODE((store.directory / one[0].name).stat().st_mode) == 0o600


class Killed(BaseException):
    """Ends a save as a kill does: nothing is tidied up."""


def test_a_kill_at_any_step_of_a_save_leaves_the_state_before_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = shard_of()
    first, second, _ = parts(3)
    made = StateStore(tmp_path / "made", "topic", VERSION)
    made.open()
    shard.process(first)
    copy = snapshot(shard)
    rows = to_bytes(copy.changes)
    pieces: Pieces = (made.piece(4, copy.next_offset, rows),)
    made.save(4, copy.packed(), copy.next_offset, pieces, rows)
    before = dump(shard)
    shard.process(second)
    copy = snapshot(shard)
    rows = to_bytes(copy.changes)
    pieces = (*pieces, made.piece(4, copy.next_offset, rows))

    found = []
    for step in range(1, 50):
        folder = tmp_path / str(step)
        shutil.copytree(made.directory, folder)
        store = StateStore(folder, "topic", VERSION)
        left = [step]
        with monkeypatch.context() as patched:
            for owner, name in ((os, "open"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
                patched.setattr(owner, name, killing(getattr(owner, name), left))
            with suppress(Killed):
                store.save(4, copy.packed(), copy.next_offset, pieces, rows)
        state = loaded(store)
        assert state is not None
        found.append(dump(state))
        if left[0] > 0:
            break
    after = dump(shard)
    assert found == [before] * found.count(before) + [after] * found.count(after)
    assert found.count(before) >= 6, "it was killed while the piece and the state were written"
    assert found.count(after) >= 2, "it was killed after that, and it ended"


def killing(work: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """`work`, which a kill comes before when it is the last of the steps that are left."""

    def step(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return work(*arguments, **named)

    return step


def test_a_snapshot_says_the_same_whenever_it_is_packed() -> None:
    first, second = parts(2)
    shard = shard_of()
    shard.process(first)
    copy, expected = snapshot(shard), dump(shard)
    shard.process(second)
    for state in shard.models.values():
        state.clients.leave(state.sessions.owner[: state.sessions.used])
        assert len(state.clients.evict()[0])
    again = restore(copy.packed(), FROZEN, scenario.profiles("toy"), [to_bytes(copy.changes)])
    assert dump(again) == expected
