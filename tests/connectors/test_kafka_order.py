"""Partitions merged by time: each keeps its order, and none is run ahead of."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka_order import TimeOrder


@dataclass(frozen=True)
class Stamped:
    partition: int
    offset: int
    timestamp: int


def _records(partition: int, *times: int) -> list[Stamped]:
    return [Stamped(partition, offset, time) for offset, time in enumerate(times)]


def test_records_come_by_time_and_ties_by_partition() -> None:
    order = TimeOrder()
    order.add(1, _records(1, 10, 30, 40))
    order.add(0, _records(0, 20, 30))
    taken = order.take(10, needed=set())
    assert [(r.timestamp, r.partition) for r in taken] == [(10, 1), (20, 0), (30, 0), (30, 1), (40, 1)]


def test_a_late_record_keeps_its_place_in_its_partition() -> None:
    order = TimeOrder()
    order.add(0, _records(0, 50, 10, 60))
    order.add(1, _records(1, 40, 55))
    assert [(r.partition, r.timestamp) for r in order.take(10, needed=set())] == [
        (1, 40),
        (0, 50),
        (0, 10),
        (1, 55),
        (0, 60),
    ]


def test_nothing_is_taken_ahead_of_a_partition_that_may_hold_older_records() -> None:
    order = TimeOrder()
    order.add(0, _records(0, 10, 20, 30))
    assert order.take(10, needed={0, 1}) == []
    order.add(1, _records(1, 15))
    assert [r.timestamp for r in order.take(10, needed={0, 1})] == [10, 15], "then partition 1 has no more"
    assert order.take(10, needed={1}) == []
    assert [r.timestamp for r in order.take(10, needed={0})] == [20, 30]


@given(
    st.lists(st.lists(st.integers(0, 50), max_size=20), min_size=1, max_size=4),
    st.integers(1, 7),
    st.integers(1, 9),
)
def test_all_come_once_in_the_order_of_their_partition(times: list[list[int]], limit: int, cut: int) -> None:
    order = TimeOrder()
    given_records = {p: _records(p, *stamps) for p, stamps in enumerate(times)}
    fetched = dict.fromkeys(given_records, 0)
    taken: list[Stamped] = []
    while len(taken) < sum(map(len, given_records.values())):
        for p, records in given_records.items():
            order.add(p, records[fetched[p] : fetched[p] + cut])
            fetched[p] = min(len(records), fetched[p] + cut)
        behind = {p for p, records in given_records.items() if fetched[p] < len(records)}
        some = order.take(limit, behind)
        assert len(some) <= limit
        taken += some
    for p, records in given_records.items():
        assert [r for r in taken if r.partition == p] == records
        assert order.held(p) == 0
    if all(stamps == sorted(stamps) for stamps in times):
        assert [r.timestamp for r in taken] == sorted(r.timestamp for r in taken)
