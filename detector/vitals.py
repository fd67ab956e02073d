"""What the service keeps in mind to see itself: times, failures, evictions, and a snapshot now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import structlog

from detector.alert import Alert
from detector.dispatcher import Dispatcher
from detector.errors import SourceError
from detector.monitor import Monitor
from detector.pipeline import Shard
from detector.policy import CLIENT, KIND_NAMES, ODD, SESSION
from detector.query import IntArray
from detector.watchdog import Snapshot

SNAPSHOT_SECONDS = 1.0
LAG_SECONDS = 10.0
"""Between two snapshots, and between two questions to the brokers for the lag."""
LAG_FAILED_SECONDS = 60.0
"""The same after a question that failed."""

log = structlog.get_logger(__name__)


class Lagging(Protocol):
    """A source that can tell how far behind it is."""

    def lag(self) -> dict[int, int]:
        """Records yet to be read of each partition. Raises SourceError."""


class Vitals:
    """Times are of the monotonic clock. Used by the service's thread only."""

    def __init__(self, monitor: Monitor) -> None:
        self.rebuilt: dict[int, str] = {}
        """Partitions that began without their state, and why; until their state is saved."""
        self.lost: dict[int, int] = {}
        """Records of partitions that were deleted before they were read; until the state is saved."""
        self._monitor = monitor
        self._last_read = time.monotonic()
        self._read = False
        self._failing_since: float | None = None
        self._problem = ""
        self._saved = False
        self._evicted = self._suspicious = 0
        self._lag: dict[int, int] = {}
        self._next_lag = self._next_snapshot = 0.0

    @contextmanager
    def counted(self, shard: Shard) -> Iterator[None]:
        """Count what a shard forgets and passes over in silence while it works."""
        before = _silent(shard)
        yield
        *evicted, suppressed, grouped = (_silent(shard) - before).tolist()
        gone, suspicious = evicted[::2], evicted[1::2]
        self._evicted += gone[0]
        self._suspicious += sum(suspicious)
        metrics = self._monitor.metrics
        for kind, many, suspects in zip((SESSION, CLIENT, ODD), gone, suspicious, strict=True):
            metrics.evict(KIND_NAMES[kind], many, suspects)
        metrics.suppressed.inc(suppressed)
        metrics.grouped.inc(grouped)

    def worked(self, began: float, decoded: float, processed: float) -> None:
        """A batch came at `began`, was decoded and processed."""
        self._last_read, self._read = began, True
        self._monitor.metrics.took("decode", decoded - began)
        self._monitor.metrics.took("process", processed - decoded)

    def saved(self, partition: int, seconds: float, size: int) -> None:
        """A partition's state was saved."""
        self.rebuilt.pop(partition, None)
        self.lost.pop(partition, None)
        self._monitor.metrics.took("save", seconds)
        self._monitor.metrics.state_bytes.labels(str(partition)).set(size)
        self._monitor.metrics.saved_at.set_to_current_time()

    def forget(self, partition: int) -> None:
        """A partition went to another member."""
        self.rebuilt.pop(partition, None)
        self.lost.pop(partition, None)
        self._monitor.metrics.forget(partition)

    def save_ended(self, problem: str) -> None:
        """All was saved and committed, or that failed with `problem`."""
        self._problem = problem
        if not problem:
            self._failing_since, self._saved = None, True
            return
        self._monitor.metrics.save_errors.inc()
        if self._failing_since is None:
            self._failing_since = time.monotonic()

    def turn(
        self, shards: Mapping[int, Shard], source: Lagging, dispatcher: Dispatcher, alerts: int
    ) -> list[Alert]:
        """Say that the loop turns, and when it is time for one, make a snapshot; the self-alerts due.

        `alerts` were raised so far.
        """
        self._monitor.turned()
        now = time.monotonic()
        if dispatcher.blocked():
            # Nothing is read on purpose; the sink that is down is told by itself.
            self._last_read = now
        if now < self._next_snapshot:
            return []
        self._next_snapshot = now + SNAPSHOT_SECONDS
        if now >= self._next_lag:
            self._next_lag = now + LAG_SECONDS
            self._look_at_lag(source)
        sinks = dispatcher.states()
        if not any(sink.waiting for sink in sinks):
            self._monitor.delivered()
        models = [model for shard in shards.values() for model in shard.models.values()]
        return self._monitor.observe(
            Snapshot(
                now=time.time(),
                partitions=tuple(sorted(shards)),
                silent_seconds=now - self._last_read,
                read=self._read,
                lag={partition: lag for partition, lag in self._lag.items() if partition in shards},
                sessions=sum(len(model.sessions) for model in models),
                open_episodes=sum(model.open_episodes for model in models),
                evicted=self._evicted,
                evicted_suspicious=self._suspicious,
                alerts=alerts,
                sinks=sinks,
                unsaved_seconds=0.0 if self._failing_since is None else max(now - self._failing_since, 1e-3),
                unsaved_problem=self._problem,
                saved=self._saved,
                rebuilt=dict(self.rebuilt),
                lost=dict(self.lost),
                held=tuple(sorted({m.model_id for m in models if m.learner and m.learner.shift.held})),
            )
        )

    def _look_at_lag(self, source: Lagging) -> None:
        try:
            self._lag = source.lag()
        except SourceError as error:
            # What was known stays. The question waited for an answer, so it is not asked again soon.
            self._next_lag = time.monotonic() + LAG_FAILED_SECONDS
            log.debug("cannot ask for the lag", problem=str(error))


def _silent(shard: Shard) -> IntArray:
    """So far: sessions, clients, and followed odd queries that were evicted, each with the suspicious ones
    among them; suppressed points; and alerts told together with others."""
    counts = np.zeros(8, dtype=np.int64)
    counts[7] = shard.groups.withheld
    for model in shard.models.values():
        sessions, clients, odd = model.sessions, model.clients, model.odd
        counts[:7] += (
            sessions.evicted,
            sessions.evicted_suspicious,
            clients.slots.freed,
            clients.slots.freed_suspicious,
            odd.slots.freed,
            odd.slots.freed_suspicious,
            int(model.suppressed[0]),
        )
    return counts
