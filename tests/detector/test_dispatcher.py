"""Sinks side by side: each with its own progress, nothing lost, nothing told twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connectors.base import Delivery
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink
from connectors.sqlite import SqliteSink, read_alerts, read_dead_letters
from detector.alert import Alert
from detector.config import Sinks
from detector.dispatcher import Dispatcher
from detector.errors import SinkError, SinkNotReady, SinkUnavailable
from detector.outputs import Outputs
from detector.query import DeadLetter
from tests.detector.switches import ALERTS, LETTERS, LONG, STEPS, Count, Switch, dispatching


def test_everything_reaches_every_sink_in_order() -> None:
    one, other, letters = MemoryAlertSink(), Switch("other"), MemoryDeadLetterSink()
    with dispatching([one, other], [letters]) as dispatcher:
        for n in range(0, 20, 5):
            dispatcher.put(ALERTS[n : n + 5], LETTERS[:1])
        dispatcher.put([], LETTERS)
        assert dispatcher.wait_settled(LONG)
    assert one.alerts == other.alerts == ALERTS
    assert letters.letters == LETTERS
    assert other.closed.is_set()


def test_one_database_takes_alerts_and_dead_letters(tmp_path: Path) -> None:
    sink = SqliteSink(tmp_path / "db")
    with dispatching([sink], [sink]) as dispatcher:
        dispatcher.put(ALERTS, LETTERS)
        assert dispatcher.wait_settled(LONG)
    assert sorted(read_alerts(tmp_path / "db"), key=lambda alert: alert.offset) == ALERTS
    assert read_dead_letters(tmp_path / "db") == LETTERS


@pytest.mark.parametrize("error", [SinkUnavailable, SinkNotReady])
def test_a_dead_sink_holds_up_saving_but_not_the_other_sink(error: type[SinkError]) -> None:
    alive, dead = MemoryAlertSink(), Switch("dead", error=error)
    watcher = Count()
    with dispatching([alive, dead], watcher=watcher) as dispatcher:
        dead.up.clear()
        dispatcher.put(ALERTS[:10], [])
        assert dead.tried.wait(LONG)
        assert not dispatcher.wait_settled(LONG)
        dispatcher.put(ALERTS[10:], [])
        assert not dispatcher.wait_settled(LONG)
        assert alive.alerts == ALERTS
        assert dispatcher.blocked() == ""
        states = {state.name: state for state in dispatcher.states()}
        assert states["dead"].waiting == 20
        assert states["dead"].down_seconds > 0.0
        assert states["dead"].oldest_seconds >= states["dead"].down_seconds
        assert states["dead"].problem == "dead: is down"
        assert (states["memory"].waiting, states["memory"].down_seconds) == (0, 0.0)
        dead.up.set()
        while not dispatcher.wait_settled(LONG):
            dispatcher.tend()
        assert {state.down_seconds for state in dispatcher.states()} == {0.0}
    assert dead.alerts == ALERTS
    assert set(watcher.failures) == {"dead"}
    assert dispatcher.returned() == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(STEPS), max_size=25))
def test_whatever_fails_and_when_every_sink_gets_everything_once_in_order(script: list[str]) -> None:
    sinks = {name: Switch(name) for name in ("one", "other")}
    letters = MemoryDeadLetterSink()
    handed = 0
    with dispatching(list(sinks.values()), [letters]) as dispatcher:
        for step in script:
            what, _, name = step.partition(" ")
            if what == "put" and handed < len(ALERTS):
                dispatcher.put(ALERTS[handed : handed + 2], LETTERS[:1])
                handed += 2
            elif what == "down":
                sinks[name].up.clear()
            elif what == "up":
                sinks[name].up.set()
            elif dispatcher.wait_settled(0.002):
                # Settled means stored: what is saved now would never be read again.
                assert [sink.alerts for sink in sinks.values()] == [ALERTS[:handed]] * 2
            dispatcher.tend()
        for sink in sinks.values():
            sink.up.set()
        while not dispatcher.wait_settled(LONG):
            dispatcher.tend()
        assert dispatcher.returned() == []
    assert [sink.alerts for sink in sinks.values()] == [ALERTS[:handed]] * 2
    assert letters.letters == LETTERS[: min(handed, 1)]


def test_a_write_that_hangs_does_not_hold_up_the_other_sink() -> None:
    alive, hangs = MemoryAlertSink(), Switch("hangs")
    with dispatching([alive, hangs]) as dispatcher:
        hangs.stuck = True
        hangs.up.clear()
        dispatcher.put(ALERTS, [])
        assert hangs.tried.wait(LONG)
        while not alive.alerts:
            assert not dispatcher.wait_settled(0.01)
        assert alive.alerts == ALERTS
        hangs.up.set()
        assert dispatcher.wait_settled(LONG)
    assert hangs.alerts == ALERTS


def test_what_a_sink_refuses_is_a_dead_letter_before_it_is_settled() -> None:
    class Refusing(MemoryAlertSink):
        def write(self, alerts: Sequence[Alert]) -> Delivery:
            found = [DeadLetter("rejected_by_sink", "x", a.to_json(), "m", -1, a.offset) for a in alerts]
            return Delivery(0, 0, tuple(found))

    letters = MemoryDeadLetterSink()
    with dispatching([Refusing()], [letters]) as dispatcher:
        dispatcher.put(ALERTS, [])
        assert dispatcher.wait_settled(LONG)
        assert {letter.raw for letter in letters.letters} == {alert.to_json() for alert in ALERTS}
        assert dispatcher.returned() == letters.letters


def test_a_sink_that_needs_a_person_at_the_start_is_an_error() -> None:
    dispatcher = Dispatcher(
        Outputs([MemoryAlertSink(), Switch("dead", up=False, error=SinkNotReady)], []),
        Sinks(),
        delay=lambda attempt: 0.001,
        watcher=Count(),
    )
    with capture_logs() as said, pytest.raises(SinkNotReady, match="dead: is down"):
        dispatcher.open(threading.Event())
    dispatcher.close()
    assert said == [], "the error that ends it is all that is said"


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (SinkUnavailable, "cannot deliver, trying again"),
        (SinkNotReady, "cannot deliver until a person mends this"),
    ],
)
def test_the_log_tells_a_refusal_from_an_outage(error: type[SinkError], what: str) -> None:
    sink = Switch("siem", error=error)
    with capture_logs() as said, dispatching([sink]) as dispatcher:
        sink.up.clear()
        dispatcher.put(ALERTS, [])
        assert sink.tried.wait(LONG)
        sink.up.set()
        while not dispatcher.wait_settled(LONG):
            dispatcher.tend()
    events = [(line["event"], line.get("problem")) for line in said if line["log_level"] == "error"]
    assert set(events) == {(what, "siem: is down")}


def test_a_sink_that_does_not_answer_at_the_start_is_tried_on() -> None:
    alive, late = MemoryAlertSink(), Switch("late", up=False)
    with dispatching([alive, late]) as dispatcher:
        dispatcher.put(ALERTS, [])
        assert not dispatcher.wait_settled(LONG)
        late.up.set()
        while not dispatcher.wait_settled(LONG):
            dispatcher.tend()
    assert late.alerts == alive.alerts == ALERTS


def test_a_stop_while_a_sink_hangs_at_the_start_is_heard() -> None:
    hangs = Switch("hangs", up=False)
    hangs.stuck = True
    dispatcher = Dispatcher(Outputs([hangs], []), Sinks(), delay=lambda attempt: 0.001, watcher=Count())
    stop = threading.Event()
    stop.set()
    assert not dispatcher.open(stop)
    hangs.up.set()
    dispatcher.close()


def test_another_sink_takes_over_what_waits() -> None:
    old, new = Switch("one"), Switch("one")
    with dispatching([old]) as dispatcher:
        old.up.clear()
        dispatcher.put(ALERTS[:10], [])
        assert old.tried.wait(LONG)
        dispatcher.replace(new)
        dispatcher.put(ALERTS[10:], [])
        while not dispatcher.wait_settled(LONG):
            dispatcher.tend()
        assert old.closed.is_set()
    assert new.alerts == ALERTS
    assert old.alerts == []


def test_a_fault_in_a_sink_ends_the_service() -> None:
    class Broken(MemoryAlertSink):
        def write(self, alerts: Sequence[Alert]) -> Delivery:
            raise RuntimeError("a fault of ours")

    with dispatching([Broken()]) as dispatcher:
        dispatcher.put(ALERTS, [])
        assert not dispatcher.wait_settled(LONG)
        with pytest.raises(RuntimeError, match="a fault of ours"):
            dispatcher.tend()
