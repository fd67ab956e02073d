"""Saved states: whole or not at all, private, checked, two generations, other versions kept."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.errors import InfrastructureError, OtherVersion, StateError
from detector.state_header import FORMAT, UNKNOWN
from detector.state_store import StateStore


def store(folder: Path, topic_id: str = "id", body: str = "1") -> StateStore:
    made = StateStore(folder / "state", "topic", body)
    made.topic_id = topic_id
    made.open()
    return made


def good(data: bytes, pieces: Iterator[bytes]) -> bytes:
    if data.startswith(b"other"):
        raise OtherVersion("other features")
    if not data.startswith(b"good"):
        raise StateError("damaged")
    return data


def names(states: StateStore) -> set[str]:
    return {path.name for path in states.directory.iterdir()}


def test_saves_and_loads_privately(tmp_path: Path) -> None:
    states = store(tmp_path)
    assert states.load(3, good).state is None
    assert states.save(3, b"good\nstate\x00", 17)
    found = states.load(3, good)
    assert (found.state, found.position, found.problems) == (b"good\nstate\x00", 17, [])
    assert states.load(2, good).state is None
    assert stat.S_IMODE(states.directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in states.directory.iterdir()] == [0o600]


@pytest.mark.parametrize("place", ["state", "offset", "nothing left", "cut"])
def test_the_generation_before_stands_in_for_a_damaged_one(tmp_path: Path, place: str) -> None:
    states = store(tmp_path)
    states.save(0, b"good 1", 100)
    states.save(0, b"good 2", 200)
    assert states.load(0, good).state == b"good 2"
    path = states.path(0)
    content = path.read_bytes()
    path.write_bytes(
        {
            "state": content.replace(b"good 2", b"good 3"),
            "offset": content.replace(b": 200", b": 300"),
            "nothing left": b"",
            "cut": content[:-1],
        }[place]
    )
    found = states.load(0, good)
    assert found.state == b"good 1"
    assert found.position == (200 if place in {"state", "cut"} else 100)
    assert len(found.problems) == 1
    assert path.read_bytes() != b"good 1", "a look changes nothing"
    path.unlink()
    assert states.load(0, good).state == b"good 1"


def test_nothing_usable_is_told_with_the_position_and_kept_at_the_next_save(tmp_path: Path) -> None:
    states = store(tmp_path)
    states.save(0, b"good", 100)
    damaged = states.path(0).read_bytes()[:-1]
    states.path(0).write_bytes(damaged)
    found = states.load(0, good)
    assert (found.state, found.position, found.recreated) == (None, 100, False)
    assert "checksum" in found.problems[0]
    # Rebuilt from further back, so the next state stands at an earlier offset.
    assert states.save(0, b"good again", 60)
    assert states.load(0, good).state == b"good again"
    assert states.path(0, "damaged").read_bytes() == damaged


def test_a_recreated_topic_has_no_state(tmp_path: Path) -> None:
    store(tmp_path).save(0, b"good", 9)
    states = store(tmp_path, "another id")
    found = states.load(0, good)
    assert (found.state, found.position, found.recreated) == (None, UNKNOWN, True)
    assert states.save(0, b"good", 1)
    assert "topic-0.state.recreated" in names(states)


def test_a_later_state_of_another_member_is_not_overwritten(tmp_path: Path) -> None:
    mine, other = store(tmp_path), store(tmp_path)
    mine.save(0, b"good 1", 100)
    other.save(0, b"good 2", 200)
    assert not mine.save(0, b"good 1", 150)
    assert other.load(0, good).state == b"good 2"
    assert mine.save(0, b"good 3", 200)


def of_format_1(states: StateStore, state: bytes) -> bytes:
    """What querywatch wrote before its header had a checksum."""
    header = {"format": 1, "topic": "topic", "topic_id": "id", "partition": 0}
    return json.dumps(header, sort_keys=True).encode() + b"\n" + state


def test_a_state_of_format_1_is_taken_over_and_kept_for_a_rollback(tmp_path: Path) -> None:
    states = store(tmp_path)
    before = of_format_1(states, b"good 1")
    states.path(0).write_bytes(before)
    found = states.load(0, good)
    assert (found.state, found.position) == (b"good 1", UNKNOWN)
    states.save(0, b"good 2", 200)
    states.save(0, b"good 3", 300)
    assert states.load(0, good).state == b"good 3"
    assert states.path(0, "version-1").read_bytes() == before


def test_a_rollback_finds_what_the_release_before_left(tmp_path: Path) -> None:
    old, new = store(tmp_path, body="1"), store(tmp_path, body="2")
    old.save(0, b"good old", 100)
    assert new.load(0, good).state == b"good old", "the states themselves say whether they can be read"
    new.save(0, b"other 1", 200)
    new.save(0, b"other 2", 300)
    back = store(tmp_path, body="1")
    found = back.load(0, good)
    assert (found.state, found.position) == (b"good old", 300)
    assert all("other features" in problem for problem in found.problems)
    assert back.save(0, b"good old, further", 150)
    assert back.load(0, good).state == b"good old, further"
    kept = new.path(0, f"version-{FORMAT}.2").read_bytes()
    assert kept.endswith(b"other 2"), "and the newer release finds its own again"


def test_a_file_of_a_later_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    states = store(tmp_path)
    later = json.dumps({"format": FORMAT + 1, "release": "9.9"}).encode() + b"\nwhatever"
    states.path(0).write_bytes(later)
    found = states.load(0, good)
    assert found.state is None
    assert "querywatch 9.9" in found.problems[0]
    assert "Start that release again" in found.problems[0]
    states.save(0, b"good", 5)
    assert states.path(0, f"version-{FORMAT + 1}").read_bytes() == later


def test_a_full_disk_keeps_the_old_state_and_gives_its_room_back(tmp_path: Path) -> None:
    states = store(tmp_path)
    states.save(0, b"good 1", 100)
    states.path(0, "partial").symlink_to("/dev/full")
    with pytest.raises(InfrastructureError, match=r"No space left.*state\.directory"):
        states.save(0, b"good 2", 200)
    assert names(states) == {"topic-0.state"}
    assert states.load(0, good).state == b"good 1"
    assert states.save(0, b"good 2", 200)


def test_what_an_earlier_try_left_behind_does_not_matter(tmp_path: Path) -> None:
    states = store(tmp_path)
    states.path(0, "partial").write_bytes(b"half of a longer state that a crash left")
    states.save(0, b"good", 1)
    assert states.load(0, good).state == b"good"
    assert names(states) == {"topic-0.state"}


def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(InfrastructureError, match=r"state\.directory"):
        store(tmp_path)
