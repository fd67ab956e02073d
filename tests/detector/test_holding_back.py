"""What waits for a sink that is down or slow: when reading pauses, and when it is given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from connectors.base import AlertSink, Delivery
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink
from detector.alert import Alert
from detector.config import Sinks
from detector.errors import SinkNotReady, SinkUnavailable
from detector.query import DeadLetter
from tests.detector.switches import ALERTS, LETTERS, LONG, Switch, dispatching


def test_reading_pauses_when_no_sink_takes_alerts_or_a_queue_is_full() -> None:
    one, other = Switch("one"), Switch("other")
    with dispatching([one, other], sinks=Sinks(queue_alerts=10)) as dispatcher:
        one.up.clear()
        dispatcher.put(ALERTS[:9], [])
        assert one.tried.wait(LONG)
        assert not dispatcher.wait_settled(LONG)
        assert dispatcher.blocked() == ""
        dispatcher.put(ALERTS[9:10], [])
        assert dispatcher.blocked() == "10 alerts and dead letters wait for one"
        other.up.clear()
        dispatcher.put(ALERTS[10:], [])
        assert other.tried.wait(LONG)
        assert not dispatcher.wait_settled(LONG)
        assert dispatcher.blocked() == "no sink takes alerts"
        one.up.set()
        other.up.set()
        while not dispatcher.wait_settled(LONG):
            dispatcher.tend()
        assert dispatcher.blocked() == ""
    assert one.alerts == other.alerts == ALERTS


def test_reading_pauses_when_large_dead_letters_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(MemoryDeadLetterSink):
        def __init__(self) -> None:
            super().__init__()
            self.up = threading.Event()
            self.writes: list[int] = []

        def write_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
            assert self.up.wait(LONG)
            self.writes.append(len(letters))
            super().write_dead_letters(letters)

    monkeypatch.setattr("detector.dispatcher.MOST_WAITING_BYTES", 4 << 20)
    monkeypatch.setattr("detector.outbox.MOST_BYTES_AT_ONCE", 2 << 20)
    large = [DeadLetter("not_json", "", bytes(1 << 20), "topic", 0, n) for n in range(4)]
    huge = DeadLetter("too_large", "", bytes(3 << 20), "topic", 0, 4)
    sink = Slow()
    with dispatching([MemoryAlertSink()], [sink]) as dispatcher:
        dispatcher.put([], large[:3])
        assert dispatcher.blocked() == ""
        dispatcher.put([], [large[3], huge])
        assert dispatcher.blocked() == "7 MB wait for memory"
        sink.up.set()
        assert dispatcher.wait_settled(LONG)
        assert dispatcher.blocked() == ""
    assert sink.letters == [*large, huge]
    assert sink.writes == [2, 2, 1]


def test_after_hold_back_seconds_alerts_become_dead_letters_and_the_sink_is_still_tried() -> None:
    alive, dead, letters = MemoryAlertSink(), Switch("dead"), MemoryDeadLetterSink()
    with dispatching([alive, dead], [letters], Sinks(hold_back_seconds=1e-6)) as dispatcher:
        dead.up.clear()
        dispatcher.put(ALERTS[:10], [])
        assert dead.tried.wait(LONG)
        assert not dispatcher.wait_settled(LONG)
        dispatcher.tend()
        assert dispatcher.wait_settled(LONG)
        given = dispatcher.returned()
        assert [(e.reason, e.source, e.raw) for e in given] == [
            ("sink_down", "dead", alert.to_json()) for alert in ALERTS[:10]
        ]
        assert letters.letters == given
        assert dead.alerts == []
        dead.up.set()
        while any(state.down_seconds for state in dispatcher.states()):
            dispatcher.wait_settled(0.01)
        dispatcher.put(ALERTS[10:], [])
        assert dispatcher.wait_settled(LONG)
        dispatcher.tend()
    assert dead.alerts == ALERTS
    assert alive.alerts == ALERTS


@pytest.mark.parametrize("up", [False, True])
def test_a_full_queue_of_an_optional_sink_holds_up_nothing(up: bool) -> None:
    alive, slow, letters = MemoryAlertSink(), Switch("slow"), MemoryDeadLetterSink()
    slow.most_at_once = 2
    with dispatching([alive, slow], [letters], Sinks(queue_alerts=5), optional=["slow"]) as dispatcher:
        slow.stuck = up
        slow.up.clear()
        dispatcher.put(ALERTS[:4], [])
        assert slow.tried.wait(LONG)
        while not up and not any(state.down_seconds for state in dispatcher.states()):
            dispatcher.wait_settled(0.01)
        dispatcher.tend()
        assert dispatcher.returned() == []
        dispatcher.put(ALERTS[4:12], [])
        assert {state.waiting for state in dispatcher.states() if state.name == "slow"} == {12}
        dispatcher.tend()
        given = dispatcher.returned()
        while len(letters.letters) < len(given) or len(alive.alerts) < 12:
            dispatcher.wait_settled(0.01)
        assert dispatcher.blocked() == ""
        # Two are just being written to a sink that is up, or never were to one that is down.
        assert [letter.raw for letter in given] == [a.to_json() for a in ALERTS[2 if up else 0 : 12]]
        assert {letter.reason for letter in given} == {"sink_down"}
        assert given[0].detail == f"slow had as many waiting as may when alert {ALERTS[2 * up].id} was due"
        slow.up.set()
        while any(state.down_seconds for state in dispatcher.states()):
            dispatcher.wait_settled(0.01)
        dispatcher.put(ALERTS[12:], [])
        while not dispatcher.wait_settled(LONG):
            pass
    assert alive.alerts == ALERTS
    kept = {letter.raw for letter in letters.letters} | {a.to_json() for a in slow.alerts}
    assert kept == {a.to_json() for a in ALERTS}


def test_an_optional_sink_that_needs_a_person_at_the_start_is_tried_on() -> None:
    alive, dead = MemoryAlertSink(), Switch("dead", up=False, error=SinkNotReady)
    with dispatching([alive, dead], optional=["dead"]) as dispatcher:
        dispatcher.put(ALERTS, [])
        assert not dispatcher.wait_settled(LONG)
        assert alive.alerts == ALERTS
        assert {s.name for s in dispatcher.states() if s.down_seconds} == {"dead"}
        dead.up.set()
        while not dispatcher.wait_settled(LONG):
            pass
    assert dead.alerts == ALERTS


def test_a_sink_is_left_alone_for_as_long_as_it_asks() -> None:
    class Busy(MemoryAlertSink):
        def __init__(self) -> None:
            super().__init__()
            self.tried: list[float] = []

        def write(self, alerts: Sequence[Alert]) -> Delivery:
            self.tried.append(time.monotonic())
            if len(self.tried) == 1:
                raise SinkUnavailable("memory", "is busy", retry_after=0.4)
            return super().write(alerts)

    sink = Busy()
    with dispatching([sink]) as dispatcher:
        dispatcher.put(ALERTS, [])
        while not dispatcher.wait_settled(LONG):
            pass
    assert sink.tried[1] - sink.tried[0] >= 0.4
    assert sink.alerts == ALERTS


@pytest.mark.parametrize("case", ["alone", "no end", "letters down"])
def test_what_no_other_sink_keeps_is_never_given_up(case: str) -> None:
    class Letters(Switch):
        def write_dead_letters(self, written: Sequence[DeadLetter]) -> None:
            self._answer()

    dead, letters = Switch("dead"), Letters("letters")
    alive: list[AlertSink] = [] if case == "alone" else [MemoryAlertSink()]
    limit = 0.0 if case == "no end" else 1e-6
    with dispatching([dead, *alive], [letters], Sinks(hold_back_seconds=limit)) as dispatcher:
        dead.up.clear()
        if case == "letters down":
            letters.up.clear()
            dispatcher.put([], LETTERS)
            assert letters.tried.wait(LONG)
        dispatcher.put(ALERTS, [])
        assert dead.tried.wait(LONG)
        assert not dispatcher.wait_settled(LONG)
        dispatcher.tend()
        assert dispatcher.returned() == []
        dead.up.set()
        letters.up.set()
        while not dispatcher.wait_settled(LONG):
            pass
    assert dead.alerts == ALERTS
