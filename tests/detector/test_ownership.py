"""A partition's state is held by one process at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from detector.errors import InfrastructureError
from detector.ownership import Partitions

HOLD = (
    "import sys; from pathlib import Path; from detector.ownership import Partitions\n"
    "held = Partitions(Path(sys.argv[1]), 'topic'); assert held.take([1]) == ''\n"
    "print('held', flush=True); sys.stdin.read()\n"
)


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds partition 1."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_all_or_none_are_held_and_the_holder_is_named(tmp_path: Path) -> None:
    ours = Partitions(tmp_path, "topic")
    with another_process(tmp_path) as process:
        assert ours.take([0, 1, 2]) == f"the state of partition 1 is held by process {process.pid}"
        third = Partitions(tmp_path, "topic")
        assert third.take([0, 2]) == ""
        assert "partition 0 is held by process" in ours.take([0])
        third.release_all()
        assert ours.take([0]) == ""


def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        process.kill()
        process.wait()
        assert Partitions(tmp_path, "topic").take([1]) == ""


def test_what_is_held_is_taken_again_by_its_holder_and_let_go_once(tmp_path: Path) -> None:
    ours, theirs = Partitions(tmp_path, "topic"), Partitions(tmp_path, "topic")
    assert ours.take([0]) == ours.take([0, 1]) == ""
    assert theirs.take([1])
    ours.release(1)
    ours.release(1)
    assert theirs.take([1]) == ""
    assert Partitions(tmp_path, "another").take([0]) == "", "topics do not stand in each other's way"


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="cannot be locked"):
        Partitions(tmp_path / "gone", "topic").take([0])
