"""The thread that writes states in pieces: what was committed can be restored, whatever fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.memory import MemoryAlertSink
from detector import changes, shard_state
from detector.edge import settings_of
from detector.errors import InfrastructureError
from detector.service import Service
from detector.shard_state import dump, restore
from detector.state_store import StateStore
from tests import traffic
from tests.detector.world import MemoryMember, MemoryTopic, World

PARTITION = 0


@pytest.fixture(autouse=True)
def no_state_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_state, "SMALL", 0)


class Running:
    """A service that reads one partition record by record, and saves when told."""

    def __init__(self, folder: Path, profile: Path) -> None:
        values = traffic.lines(traffic.mixed(traffic.benign(20, seed=2), traffic.inversion(seed=3)))
        self.world = World(folder, profile, MemoryTopic(values))
        self.store = self.world.store()
        self.service: Service = self.world.service(MemoryAlertSink())
        self.member = MemoryMember(self.world.topic, self.service)
        self.service._source = self.member

    def read(self, count: int) -> None:
        for batch in self.member.poll(0.0, count):
            self.service._take(batch)

    def save(self) -> None:
        self.service._saver.save(self.member)

    def restored(self) -> bytes:
        """The whole state that a start would go on with."""
        settings = settings_of(self.world.config, learn=False)
        found = self.store.load(
            PARTITION, lambda state, pieces: restore(state, settings, self.world.profiles, pieces)
        )
        assert found.state is not None
        return dump(found.state)

    def now(self) -> bytes:
        return dump(self.service.shards[PARTITION])


@pytest.fixture
def running(tmp_path: Path, toy_profile: Path) -> Running:
    return Running(tmp_path, toy_profile)


def pieces_of(store: StateStore) -> list[str]:
    return sorted(path.name for path in store.directory.glob("*.rows-*"))


def test_each_save_adds_a_piece_until_they_are_made_into_one(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MOST_COPIES", 1e9)
    monkeypatch.setattr(changes, "MOST_PIECES", 4)
    counts = []
    for _ in range(7):
        running.read(20)
        # As the loop saves: nobody waits for the thread, so that it may join the pieces.
        running.service._saver.begin(running.member)
        [future.result() for future in running.service._saver._writing]
        assert running.service._saver.tend(running.member)
        assert running.restored() == running.now()
        counts.append(len(running.service._saver.pieces[PARTITION]))
    assert counts == [1, 2, 3, 4, 1, 2, 3]
    assert len(pieces_of(running.store)) == 3, "none is left of those before"


def test_who_waits_does_not_wait_for_pieces_to_be_joined(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MOST_PIECES", 1)
    for count in (1, 2):
        running.read(20)
        running.service._saver._awaited.set()
        running.save()
        assert running.restored() == running.now()
        assert len(running.service._saver.pieces[PARTITION]) == count


def test_what_a_full_disk_refused_is_in_the_next_save(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.read(50)
    running.save()
    before = running.restored()
    running.read(50)

    def full(*_: object) -> bool:
        raise InfrastructureError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(StateStore, "save", full)
        running.save()
    assert running.restored() == before
    assert "no space" in running.service.save_problem
    running.read(10)
    running.save()
    assert running.restored() == running.now() != before
    assert running.service.save_problem == ""


def test_after_pieces_are_lost_everything_is_saved_anew(running: Running) -> None:
    for _ in range(2):
        running.read(50)
        running.save()
    for name in pieces_of(running.store):
        (running.store.directory / name).unlink()
    running.read(10)
    running.save()
    assert "is gone" in running.service.save_problem
    running.save()
    assert running.service.save_problem == ""
    assert running.restored() == running.now()


def test_a_commit_that_was_put_off_is_made_at_the_next_save_also_when_nothing_came(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group rebalances just then, and the topic is quiet afterwards."""
    saver, member = running.service._saver, running.member
    running.read(20)
    with monkeypatch.context() as rebalancing:
        rebalancing.setattr(member, "commit", lambda offsets: False)
        saver.begin(member)
        [future.result() for future in saver._writing]
        assert saver.tend(member) == {}
    assert saver.tend(member) == {}, "only a save tries again"
    saver.begin(member)
    assert saver.tend(member) == {PARTITION: running.service.shards[PARTITION].next_offset}
    saver.begin(member)
    assert saver.tend(member) == {}
