"""Sinks side by side: each with its own progress, nothing lost, nothing held up for longer than allowed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connectors.base import AlertSink, DeadLetterSink, Delivery
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink
from connectors.sqlite import SqliteSink, read_alerts, read_dead_letters
from detector.alert import Alert
from detector.config import Sinks
from detector.dispatcher import Dispatcher
from detector.errors import SinkError, SinkNotReady, SinkUnavailable
from detector.outputs import Outputs
from detector.query import DeadLetter

ALERTS = [Alert(f"id-{n}", {"@timestamp": "2026-11-24T10:00:00Z", "n": n}, n) for n in range(20)]
LETTERS = [DeadLetter("not_json", "", b"x", "topic", 0, n) for n in range(5)]
STEPS = ("put", "down one", "up one", "down other", "up other", "wait")
LONG = 30.0
"""Seconds that no healthy machine takes."""


class Count:
    """Counts what a watcher is told."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.failures: list[str] = []

    def wrote(self, sink: str, seconds: float) -> None:
        assert seconds >= 0.0
        self.writes.append(sink)

    def failed(self, sink: str) -> None:
        self.failures.append(sink)


class Switch(MemoryAlertSink):
    """A sink that is down until `up` is set; `stuck` lets a write hang until then instead."""

    def __init__(self, name: str, *, up: bool = True, error: type[SinkError] = SinkUnavailable) -> None:
        super().__init__()
        self.name = name
        self.up = threading.Event()
        self.tried = threading.Event()
        self.stuck = False
        self.closed = threading.Event()
        self._error = error
        if up:
            self.up.set()

    def open(self) -> None:
        self._answer()

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        self._answer()
        return super().write(alerts)

    def close(self) -> None:
        self.closed.set()

    def _answer(self) -> None:
        if self.stuck:
            self.tried.set()
            assert self.up.wait(LONG)
        if not self.up.is_set():
            self.tried.set()
            raise self._error(self.name, "is down")


@contextmanager
def dispatching(
    alerts: Sequence[AlertSink],
    letters: Sequence[DeadLetterSink] = (),
    sinks: Sinks | None = None,
    watcher: Count | None = None,
    delay: Callable[[int], float] = lambda attempt: 0.001,
    optional: Sequence[str] = (),
) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(
        Outputs(alerts, letters, optional), sinks or Sinks(), delay=delay, watcher=watcher or Count()
    )
    try:
        assert dispatcher.open(threading.Event())
        yield dispatcher
    finally:
        for sink in alerts:
            if isinstance(sink, Switch):
                sink.up.set()
        dispatcher.close()


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


@settings(max_examples=60, deadline=None)
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
