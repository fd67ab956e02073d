"""A restart in the middle of a trouble: it is not told as new, its end is told, whatever was delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Delivery
from connectors.memory import MemoryAlertSink
from detector.alert import Alert
from detector.config import Config, Health, State
from detector.episodes import SelfAlertEpisodes
from detector.errors import SinkUnavailable
from detector.monitor import Monitor
from detector.outputs import Outputs
from detector.service import Service
from detector.watchdog import Condition, Notice, SinkState, Snapshot, Watchdog
from tests.detector.test_watchdog import LIMITS, WELL, histories, key, kinds
from tests.detector.world import MemoryMember, MemoryTopic, World

DOWN = (SinkState("es", 60.0, 3, 60.0, "no answer"), SinkState("db"))
Snapshots = Callable[[float], dict[str, Any]]
"""What a snapshot holds some seconds after a start."""

GOES_ON: dict[str, tuple[dict[str, Any], Snapshots, dict[str, Any]]] = {
    "no_input": (
        {"silent_seconds": 900.0},
        lambda s: {"silent_seconds": s, "partitions": (0,) if s > 100 else ()},
        {"silent_seconds": 0.0, "read": True},
    ),
    "behind": (
        {"lag": {0: 200_000}},
        lambda s: {"lag": {0: 150_000} if s > 20 else {}, "partitions": (0,) if s > 10 else ()},
        {"lag": {0: 5}},
    ),
    "sink_down": (
        {"sinks": DOWN},
        lambda s: {"sinks": (SinkState("es", s + 0.5, 1, s, "no answer"), SinkState("db"))},
        {},
    ),
    "state_unsaved": (
        {"unsaved_seconds": 60.0, "unsaved_problem": "disk full"},
        lambda s: {"unsaved_seconds": max(0.0, s - 30.0), "unsaved_problem": "disk full"},
        {"saved": True},
    ),
    "state_rebuilt": (
        {"rebuilt": {1: "damaged"}},
        lambda s: {"partitions": (0, 1), "rebuilt": {1: "damaged"}} if s > 20 else {"partitions": ()},
        {},
    ),
    "records_lost": (
        {"lost": {1: 7}},
        lambda s: {"partitions": (0, 1), "lost": {1: 7}} if s > 20 else {"partitions": ()},
        {},
    ),
    "profile_shift": (
        {"held": ("fraud",)},
        lambda s: {"partitions": (0, 1), "held": ("fraud",)} if s > 20 else {"partitions": ()},
        {"held": ()},
    ),
    "sessions_evicted": (
        {"evicted": 900},
        lambda s: {"evicted": int(1.5 * s)},
        {"evicted": 1500},
    ),
    "alert_flood": ({"alerts": 300}, lambda s: {"alerts": int(s)}, {"alerts": 1200}),
    "suspicious_evicted": ({"evicted_suspicious": 3}, lambda s: {"evicted_suspicious": int(s / 300)}, {}),
}


def begun(kind: str) -> tuple[Watchdog, Notice, float]:
    """A watchdog with an open episode of a kind, and the time."""
    dog = Watchdog(LIMITS)
    now = WELL.now
    told: list[Notice] = []
    for n in range(4):
        told += dog.observe(replace(WELL, now=now + 200.0 * n, **(GOES_ON[kind][0] if n else {})))
    assert kinds(told) == [(kind, False)]
    return dog, told[0], now + 600.0


@pytest.mark.parametrize("kind", GOES_ON)
def test_what_goes_on_after_a_restart_is_told_no_more_until_it_is_over(kind: str) -> None:
    dog, told, now = begun(kind)
    _, after, well = GOES_ON[kind]
    # Killed and started twice; a snapshot a second, for twenty minutes each time.
    for _ in range(2):
        now += 60.0
        episodes, dog = dog.episodes, Watchdog(LIMITS)
        dog.inherit(episodes, now)
        for second in range(1, 1200):
            now += 1.0
            seen = replace(WELL, now=now, **after(float(second)))
            assert dog.observe(seen) == [], second
        assert dog.episodes == [told]
    over: list[Notice] = []
    for second in range(1, 1200):
        mended = {"rebuilt": {}, "lost": {}, "sinks": WELL.sinks, "unsaved_seconds": 0.0, **well}
        over += dog.observe(replace(WELL, **{**after(1199.0), **mended, "now": now + second}))
    assert [(key(n), n.began) for n in over] == [(key(told), told.began)]
    assert over[0].ended is not None


@pytest.mark.parametrize("kind", GOES_ON)
def test_what_ended_while_nothing_ran_is_over_soon(kind: str) -> None:
    dog, told, now = begun(kind)
    episodes, dog = dog.episodes, Watchdog(LIMITS)
    dog.inherit(episodes, now)
    over: list[tuple[int, Notice]] = []
    for second in range(1, 2000):
        seen = replace(WELL, now=now + second, lag={0: 3} if second > 10 else {}, saved=second > 30)
        over += [(second, notice) for notice in dog.observe(replace(seen, read=second > 5))]
    ((at, notice),) = over
    assert (key(notice), notice.began) == (key(told), told.began)
    assert at <= (LIMITS.eviction_seconds if "evicted" in kind or kind == "alert_flood" else 31)


@given(histories, st.sets(st.integers(0, 40)))
def test_with_restarts_anywhere_every_episode_begins_and_ends_once(
    history: list[Snapshot], restarts: set[int]
) -> None:
    dog = Watchdog(LIMITS)
    running: dict[tuple[str, str], Notice] = {}
    for n, seen in enumerate(history):
        if n in restarts:
            episodes, dog = dog.episodes, Watchdog(LIMITS)
            dog.inherit(episodes, seen.now)
        for notice in dog.observe(seen):
            if notice.ended is None:
                assert key(notice) not in running
                running[key(notice)] = notice
            else:
                assert running.pop(key(notice)).began == notice.began <= notice.ended
        assert {key(episode) for episode in dog.episodes} == set(running)


def notice(kind: str = "sink_down", ended: float | None = None) -> Notice:
    return Notice(Condition(kind, "es", "es takes nothing: \u202e", "mend it"), 5.25, ended)


def test_what_no_sink_may_have_is_told_again_and_the_same(tmp_path: Path) -> None:
    def monitor() -> Monitor:
        return Monitor(Config(), "host", SelfAlertEpisodes(tmp_path, "topic"))

    trouble = replace(WELL, sinks=DOWN)
    first = monitor()
    (alert,) = first.observe(trouble)
    first.close()  # killed before a sink had it
    second = monitor()
    assert second.observe(replace(trouble, now=WELL.now + 9.0)) == [alert]
    second.delivered()
    second.close()
    third = monitor()
    assert third.observe(replace(trouble, now=WELL.now + 19.0)) == []
    (over,) = third.observe(replace(WELL, now=WELL.now + 29.0))
    third.close()
    assert over.document["event"]["id"] == alert.document["event"]["id"]
    fourth = monitor()
    assert fourth.observe(replace(WELL, now=WELL.now + 39.0)) == [over]
    fourth.delivered()
    fourth.close()
    fifth = monitor()
    assert fifth.observe(replace(WELL, now=WELL.now + 49.0)) == []
    fifth.close()


def test_processes_that_share_a_directory_have_a_file_each(tmp_path: Path) -> None:
    one, two = SelfAlertEpisodes(tmp_path, "topic"), SelfAlertEpisodes(tmp_path, "topic")
    for episodes, kind in ((one, "sink_down"), (two, "behind")):
        assert episodes.load() == ([], [])
        episodes.note([notice(kind)], [notice(kind)])
    other = SelfAlertEpisodes(tmp_path, "another")
    assert other.load() == ([], [])
    two.close()
    again = SelfAlertEpisodes(tmp_path, "topic")
    assert again.load() == ([notice("behind")], [notice("behind")])
    again.note([notice("behind", 6.0)], [])
    again.close()
    assert SelfAlertEpisodes(tmp_path, "topic").load() == ([], [notice("behind"), notice("behind", 6.0)])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "content",
    [b"", b"no", b'{"open": 3}', b'{"open": [[["unheard_of", "", "", ""], 1.0, null]]}', b"[" * 3000000],
)
def test_a_file_that_is_not_ours_is_no_end(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "topic.episodes-0").write_bytes(content)
    episodes = SelfAlertEpisodes(tmp_path, "topic")
    assert episodes.load() == ([], [])
    episodes.note([notice()], [notice()])
    episodes.close()
    assert SelfAlertEpisodes(tmp_path, "topic").load() == ([notice()], [notice()])


def test_a_directory_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = SelfAlertEpisodes(tmp_path, "topic")
    episodes.load()

    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("detector.episodes.write_durably", full)
        for _ in range(3):
            episodes.note([], [])
            episodes.note([notice()], [notice()])
    assert not list(tmp_path.glob("*.partial"))
    episodes.note([], [])  # there is room again
    episodes.close()
    assert SelfAlertEpisodes(tmp_path, "topic").load() == ([notice()], [notice()] * 3)


class Down(MemoryAlertSink):
    """Takes nothing until `up`."""

    name = "down"
    up = False

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        if not self.up:
            raise SinkUnavailable(self.name, "is down")
        return super().write(alerts)

    def open(self) -> None:
        self.write([])


def test_a_service_that_starts_again_while_a_sink_is_down(
    tmp_path: Path, toy_profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.vitals.SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr("detector.backoff.FIRST_DELAY", 0.001)
    world = World(tmp_path, toy_profile, MemoryTopic([b"not json"], []))
    world.config = Config(state=State(save_seconds=1e-9), health=Health(sink_down_seconds=0.05))
    down, kept = Down(), MemoryAlertSink()

    def told() -> list[str]:
        return [alert.document["event"]["action"] for alert in kept.alerts]

    def run(until: Callable[[int], bool]) -> None:
        service = world.service(kept)
        service.close()
        outputs = Outputs([down, kept], [world.letters])
        service = Service(world.config, service._settings, {}, service._decoder, outputs, world.store())
        turns = iter(range(10_000))

        def turn() -> None:
            if until(next(turns)):
                service.stop.set()

        service.on_turn = turn
        service.run(MemoryMember(world.topic, service))

    run(lambda turn: bool(told()))
    assert told() == ["sink-down"]
    run(lambda turn: turn > 50)
    assert told() == ["sink-down"]
    down.up = True
    run(lambda turn: len(told()) > 1)
    assert told() == ["sink-down", "alert-closed"]
    begin, end = (alert.document["event"] for alert in kept.alerts)
    assert begin["id"] == end["id"]
    assert begin["start"] == end["start"]
