"""Is the detector blind? A snapshot of numbers in, self-alerts out; looks at no clock itself.

A condition that holds begins an *episode*, which is told once when it begins and once when it is over. The
episode's id depends on what it is about and when it began, nothing else. A restart is no end: the next
process goes on with the episodes of the one before, each until it is seen to be over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from detector.config import Health


@dataclass(frozen=True, slots=True)
class SinkState:
    """One sink. down_seconds [s]: 0 while it takes what it is given; oldest_seconds [s]: how long the oldest
    of the `waiting` alerts and dead letters has waited."""

    name: str
    down_seconds: float = 0.0
    waiting: int = 0
    oldest_seconds: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the service sees of itself at one moment.

    now: seconds since the epoch. silent_seconds: since a record came, or since the start; read: one has come
    since then. lag: records yet to be read of each partition. sessions: live ones. open_episodes: sessions
    and clients in an episode. evicted: sessions that lost their state to the memory bound, since the start;
    evicted_suspicious: sessions and clients on their way to an alert that did. alerts: raised since the
    start. unsaved_seconds: since a save first failed, 0 when the last one worked; saved: one has worked
    since the start. rebuilt: partitions that began without their state, and why. lost: records of partitions
    that were deleted unread. held: models whose profile stays, since their traffic shifts towards attacks.
    """

    now: float
    partitions: tuple[int, ...] = ()
    silent_seconds: float = 0.0
    read: bool = False
    lag: Mapping[int, int] = field(default_factory=dict)
    sessions: int = 0
    open_episodes: int = 0
    evicted: int = 0
    evicted_suspicious: int = 0
    alerts: int = 0
    sinks: tuple[SinkState, ...] = ()
    unsaved_seconds: float = 0.0
    unsaved_problem: str = ""
    saved: bool = False
    rebuilt: Mapping[int, str] = field(default_factory=dict)
    lost: Mapping[int, int] = field(default_factory=dict)
    held: tuple[str, ...] = ()


class Condition(NamedTuple):
    """A way to be blind: which one, of what part (empty: the whole), in words, and what to do."""

    kind: str
    part: str
    said: str
    advice: str


class Notice(NamedTuple):
    """An episode of `condition` that began at `began`, or is over at `ended`; seconds since the epoch."""

    condition: Condition
    began: float
    ended: float | None


KINDS: dict[str, str] = {
    "no_input": "No queries arrive",
    "behind": "The detector falls behind",
    "sessions_evicted": "Sessions are forgotten for want of memory",
    "alert_flood": "More alerts than people can read",
    "suspicious_evicted": "Suspicious sessions or clients are forgotten for want of memory",
    "sink_down": "Alerts cannot be delivered",
    "state_unsaved": "The detector's state cannot be saved",
    "state_rebuilt": "Sessions were rebuilt without their saved state",
    "records_lost": "Queries were deleted before they were read",
    "profile_shift": "Traffic shifts towards attacks, and teaches nothing",
}
"""Every condition, with its title."""


ASSIGNED_SECONDS = 300.0
"""How long after a start partitions may be to come."""

History = deque[tuple[float, ...]]
"""Times, and what was counted until then."""


class Watchdog:
    """Remembers lag and evictions for as long as the thresholds look back, and which episodes are open."""

    def __init__(self, thresholds: Health) -> None:
        self.thresholds = thresholds
        self._open: dict[tuple[str, str], Notice] = {}
        self._lag: History = deque()
        self._evicted: History = deque()
        self._alerts: History = deque()
        self._inherited: set[tuple[str, str]] = set()
        self._started = self._assigned = 0.0

    @property
    def episodes(self) -> list[Notice]:
        """Episodes that are open."""
        return list(self._open.values())

    def inherit(self, episodes: Sequence[Notice], now: float) -> None:
        """Go on with what was open when the process before ended; before the first snapshot, at about `now`.

        Right after a start most conditions cannot hold yet, since they look back over some time. So these
        episodes stay open until a snapshot shows that they are over, or the condition had time to show.
        """
        self._started = self._assigned = now
        self._open = {(e.condition.kind, e.condition.part): e for e in episodes}
        self._inherited = set(self._open)

    def observe(self, snapshot: Snapshot) -> list[Notice]:
        """Account for a snapshot, later than the ones before; the episodes that begin and end with it."""
        now = snapshot.now
        holding = {(c.kind, c.part): c for c in self._conditions(snapshot)}
        if not snapshot.partitions:
            self._assigned = now
        self._inherited.difference_update(holding)
        unsettled = {key for key in self._inherited if self._may_go_on(*key, snapshot)}
        notices = []
        for key, episode in list(self._open.items()):
            if key not in holding and key not in unsettled:
                del self._open[key]
                notices.append(episode._replace(ended=now))
        for key, condition in holding.items():
            if key not in self._open:
                self._open[key] = Notice(condition, now, None)
                notices.append(self._open[key])
        return notices

    def _conditions(self, seen: Snapshot) -> Iterator[Condition]:
        limits = self.thresholds
        total = sum(seen.lag.values())
        if limits.no_input_seconds and seen.silent_seconds >= limits.no_input_seconds and seen.partitions:
            waiting = f"{total:,} records wait in the topic" if total else "the topic has nothing new"
            yield Condition(
                "no_input",
                "",
                f"no record has been read for {limits.no_input_seconds:g} s or longer; {waiting}",
                "see whether the model server still writes its query log, and whether the brokers answer",
            )
        if self._falls_behind(seen.now, total):
            yield Condition(
                "behind",
                "",
                f"{total:,} records wait, and in {limits.behind_seconds:g} s they have not become fewer",
                "add workers and partitions, or find out what takes the time (querywatch_stage_seconds)",
            )
        yield from self._evictions(seen)
        yield from self._flood(seen)
        for sink in seen.sinks:
            if sink.down_seconds >= limits.sink_down_seconds:
                yield Condition(
                    "sink_down",
                    sink.name,
                    f"{sink.name} takes nothing: {sink.problem}",
                    "mend what the message says; everything that waits is delivered then",
                )
        if seen.unsaved_seconds >= limits.unsaved_seconds:
            yield Condition(
                "state_unsaved",
                "",
                f"the state cannot be saved: {seen.unsaved_problem}",
                "mend what the message says; until then a restart reads everything since the last save again",
            )
        for partition, why in sorted(seen.rebuilt.items()):
            yield Condition(
                "state_rebuilt",
                f"partition {partition}",
                f"partition {partition} goes on without its saved state: {why}",
                "attacks that began earlier may be seen late or not at all; keep the state directory",
            )
        for partition, count in sorted(seen.lost.items()):
            yield Condition(
                "records_lost",
                f"partition {partition}",
                f"partition {partition}: {count:,} records were deleted by retention before they were read",
                "raise the topic's retention above the longest stop that you expect",
            )

        for model in seen.held:
            yield Condition(
                "profile_shift",
                f"model {model}",
                f"more sessions of {model} than the profile expects are rare and look like the beginnings of "
                f"attacks; it judges on as it is, and is not replaced",
                "see who sends them; if they are honest, fit a profile on logs that hold them, and restart",
            )

    def _may_go_on(self, kind: str, part: str, seen: Snapshot) -> bool:
        """Whether an inherited episode may last, although its condition does not hold yet."""
        limits, waited = self.thresholds, seen.now - self._assigned
        if kind == "sink_down":
            return any(sink.name == part and sink.down_seconds > 0.0 for sink in seen.sinks)
        if not seen.partitions:
            return seen.now - self._started < ASSIGNED_SECONDS
        if kind == "no_input":
            return waited < limits.no_input_seconds and not seen.read
        if kind == "behind":
            return waited < limits.behind_seconds and not seen.lag
        if kind in ("sessions_evicted", "suspicious_evicted"):
            return waited < limits.eviction_seconds
        if kind == "alert_flood":
            return waited < limits.flood_seconds
        return kind == "state_unsaved" and not seen.saved

    def _falls_behind(self, now: float, total: int) -> bool:
        """True from when the lag is large and no smaller than `behind_seconds` ago, until it is small."""
        limits = self.thresholds
        then, before = _look_back(self._lag, now, total, seconds=limits.behind_seconds)
        if total < limits.behind_records:
            return False
        return ("behind", "") in self._open or (then <= now - limits.behind_seconds and total >= before)

    def _evictions(self, seen: Snapshot) -> Iterator[Condition]:
        limits = self.thresholds
        _, before, suspicious_before = _look_back(
            self._evicted, seen.now, seen.evicted, seen.evicted_suspicious, seconds=limits.eviction_seconds
        )
        gone, suspicious = seen.evicted - before, seen.evicted_suspicious - suspicious_before
        advice = "raise sessions.memory_mb, or add workers; a flood of new sessions may be meant to do this"
        if gone and gone >= limits.evicted_share * seen.sessions:
            said = f"{gone:,} sessions evicted in {limits.eviction_seconds:g} s, {seen.sessions:,} are kept"
            yield Condition("sessions_evicted", "", said, advice)
        if suspicious:
            said = f"{suspicious:,} suspicious sessions and clients evicted in {limits.eviction_seconds:g} s"
            yield Condition("suspicious_evicted", "", said, advice)

    def _flood(self, seen: Snapshot) -> Iterator[Condition]:
        limits = self.thresholds
        _, before = _look_back(self._alerts, seen.now, seen.alerts, seconds=limits.flood_seconds)
        count = seen.alerts - before
        # It is over when half as many come, so that a steady stream is one episode.
        if count >= limits.flood_alerts / (2 if ("alert_flood", "") in self._open else 1):
            yield Condition(
                "alert_flood",
                "",
                f"{count:,} alerts in {limits.flood_seconds:g} s",
                "group them by model, address and technique; a flood may be meant to bury one of them",
            )


def _look_back(history: History, now: float, *counts: float, seconds: float) -> tuple[float, ...]:
    """Note the counts; those of `seconds` ago with their time, or the oldest where none are so old."""
    history.append((now, *counts))
    while len(history) > 1 and history[1][0] <= now - seconds:
        history.popleft()
    return history[0]
