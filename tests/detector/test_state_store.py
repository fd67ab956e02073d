"""Saved states: whole or not at all, private, two generations."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from detector.errors import InfrastructureError, StateError
from detector.state_store import StateStore


def store(folder: Path, topic_id: str = "id") -> StateStore:
    made = StateStore(folder / "state", "topic", topic_id)
    made.open()
    return made


def good(data: bytes) -> bytes:
    if not data.startswith(b"good"):
        raise StateError("damaged")
    return data


def test_saves_and_loads_privately(tmp_path: Path) -> None:
    states = store(tmp_path)
    assert states.load(3, good) is None
    states.save(3, b"good\nstate\x00")
    assert states.load(3, good) == b"good\nstate\x00"
    assert states.load(2, good) is None
    assert stat.S_IMODE(states.directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in states.directory.iterdir()] == [0o600]


def test_the_generation_before_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    states = store(tmp_path)
    states.save(0, b"good 1")
    states.save(0, b"good 2")
    assert states.load(0, good) == b"good 2"
    path = states.path(0)
    path.write_bytes(path.read_bytes().replace(b"good 2", b"bad"))
    assert states.load(0, good) == b"good 1"
    path.write_bytes(b"junk")
    assert states.load(0, good) == b"good 1"
    path.unlink()
    assert states.load(0, good) == b"good 1"


def test_a_recreated_topic_has_no_state(tmp_path: Path) -> None:
    store(tmp_path).save(0, b"good")
    assert store(tmp_path, "another id").load(0, good) is None


def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(InfrastructureError, match=r"state\.directory"):
        store(tmp_path)
