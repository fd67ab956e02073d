"""Where a partition goes on, by what is left: files, commits, the log itself."""

from __future__ import annotations

import bisect

import pytest

from detector.pipeline import Shard
from detector.resume import Resumption, resume, rewound
from detector.settings import Settings
from detector.state_header import UNKNOWN
from detector.state_store import Found

GAP = 100.0


class Log:
    """Offsets 0 to 999, one every 10 s; those before `first` are deleted."""

    def __init__(self, first: int = 0, count: int = 1000) -> None:
        self.first = first
        self.times = [1e9 + 10.0 * n for n in range(count)]
        self.asked = 0

    def offset_at(self, partition: int, seconds: float) -> int:
        self.asked += 1
        return max(self.first, bisect.bisect_left(self.times, seconds))

    def held(self, partition: int) -> tuple[int, int]:
        return self.first, len(self.times)


def found(next_offset: int | None = None, position: int = UNKNOWN, problem: str = "") -> Found[Shard]:
    shard = None
    if next_offset is not None:
        shard = Shard(Settings(), {})
        shard.next_offset = next_offset
    return Found(
        shard, max(position, UNKNOWN if next_offset is None else next_offset), [problem][: len(problem)]
    )


def test_a_saved_state_goes_on_where_it_stands() -> None:
    assert resume(found(500), 480, Log(), 0, GAP) == Resumption(500, told_below=500)


def test_the_generation_before_tells_nothing_twice() -> None:
    resumption = resume(found(400, position=500, problem="newest is damaged"), 500, Log(), 0, GAP)
    assert resumption == Resumption(400, told_below=500)


def test_nothing_known_is_a_first_start() -> None:
    assert resume(found(), None, Log(), 0, GAP) == Resumption(None)


@pytest.mark.parametrize(("committed", "position"), [(500, UNKNOWN), (None, 500), (300, 500), (500, 300)])
def test_without_a_state_it_rewinds_by_the_gap(committed: int | None, position: int) -> None:
    resumption = resume(found(position=position, problem="damaged"), committed, Log(), 0, GAP)
    # Record 499 is the last that was done; 489 lies GAP before it.
    assert resumption == Resumption(489, told_below=500, rebuilt="damaged")


def test_a_lost_directory_is_degraded_too() -> None:
    assert resume(found(), 500, Log(), 0, GAP).rebuilt == "no saved state was found"


def test_a_damaged_state_of_unknown_position_begins_at_the_earliest() -> None:
    assert resume(found(problem="damaged"), None, Log(first=7), 0, GAP) == Resumption(7, rebuilt="damaged")


def test_a_recreated_topic_is_read_from_its_first_record() -> None:
    lost = Found[Shard](problems=["other id"], recreated=True)
    resumption = resume(lost, 500, Log(), 0, GAP)
    assert resumption == Resumption(0, told_below=0, rebuilt="the topic was recreated")


def test_records_gone_by_retention_are_counted_and_the_sessions_kept() -> None:
    assert resume(found(500), 500, Log(first=620), 0, GAP) == Resumption(620, told_below=500, lost=120)
    without = resume(found(), 500, Log(first=620), 0, GAP)
    assert (without.start, without.lost) == (620, 120)


def test_rewinding_asks_few_questions_and_stops_at_the_first_record() -> None:
    log = Log(first=450)
    assert rewound(log, 0, 500, 1e6) == 450
    assert rewound(log, 0, 450, GAP) == 450
    assert log.asked < 50
