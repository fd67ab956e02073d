"""Several logs become one by time, each keeping its own order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import merge as merging
from connectors.merge import LateCounter, merge
from detector.query import Record

times = st.lists(st.integers(0, 20).map(float), max_size=10)


def records(name: str, stamps: list[float]) -> list[Record]:
    return [Record(stamp, "m", name, [0.0], offset=i) for i, stamp in enumerate(stamps)]


def merged_of(logs: list[list[Record]], size: int = 3, columns: int = 64) -> list[Record]:
    """All records in the merged order, from batches of `size`."""
    cut = [iter([log[i : i + size] for i in range(0, len(log), size)]) for log in logs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "COLUMNS", columns)
        runs = list(merge(cut))
    for number, run in runs:
        assert len(run) > 0
        assert {record.client_id for record in run} == {str(number)}
    return [record for _, run in runs for record in run]


@given(st.lists(times, max_size=4), st.integers(1, 4), st.integers(1, 3))
def test_nothing_is_lost_and_each_files_order_is_kept(
    stamps: list[list[float]], size: int, columns: int
) -> None:
    streams = [records(str(i), s) for i, s in enumerate(stamps)]
    merged = merged_of(streams, size, columns)
    assert len(merged) == sum(map(len, streams))
    for position, stream in enumerate(streams):
        assert [r for r in merged if r.client_id == str(position)] == stream


@given(st.lists(times.map(sorted), max_size=4))
def test_sorted_files_merge_into_sorted_time_ties_by_file(stamps: list[list[float]]) -> None:
    merged = merged_of([records(str(i), s) for i, s in enumerate(stamps)])
    keys = [(r.timestamp, int(r.client_id)) for r in merged]
    assert keys == sorted(keys)


def test_a_time_that_goes_back_holds_its_place() -> None:
    merged = merged_of([records("0", [1, 5, 2, 9]), records("1", [3, 6])])
    assert [r.timestamp for r in merged] == [1, 3, 5, 2, 6, 9]


def test_records_beyond_the_window_are_counted_as_late() -> None:
    stamps = [100.0, 90.0, 89.9, 105.0, 94.0, 106.0]
    for cut in range(len(stamps) + 1):
        counter = LateCounter(10.0)
        counter.add(stamps[:cut])
        counter.add(stamps[cut:])
        assert counter.late == 2
