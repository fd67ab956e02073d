"""Several logs become one by time, each keeping its own order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from connectors.merge import LateCounter, merge
from detector.query import Record

times = st.lists(st.integers(0, 20).map(float), max_size=10)


def records(name: str, stamps: list[float]) -> list[Record]:
    return [Record(stamp, "m", name, [0.0], offset=i) for i, stamp in enumerate(stamps)]


@given(st.lists(times, max_size=4))
def test_nothing_is_lost_and_each_files_order_is_kept(stamps: list[list[float]]) -> None:
    streams = [records(str(i), s) for i, s in enumerate(stamps)]
    merged = list(merge([iter(s) for s in streams]))
    assert len(merged) == sum(map(len, streams))
    for position, stream in enumerate(streams):
        assert [r for r in merged if r.client_id == str(position)] == stream


@given(st.lists(times.map(sorted), max_size=4))
def test_sorted_files_merge_into_sorted_time_ties_by_file(stamps: list[list[float]]) -> None:
    merged = list(merge([iter(records(str(i), s)) for i, s in enumerate(stamps)]))
    keys = [(r.timestamp, int(r.client_id)) for r in merged]
    assert keys == sorted(keys)


def test_a_time_that_goes_back_holds_its_place() -> None:
    merged = merge([iter(records("a", [1, 5, 2, 9])), iter(records("b", [3, 6]))])
    assert [r.timestamp for r in merged] == [1, 3, 5, 2, 6, 9]


def test_records_beyond_the_window_are_counted_as_late() -> None:
    stamps = [100.0, 90.0, 89.9, 105.0, 94.0, 106.0]
    for cut in range(len(stamps) + 1):
        counter = LateCounter(10.0)
        counter.add(stamps[:cut])
        counter.add(stamps[cut:])
        assert counter.late == 2
