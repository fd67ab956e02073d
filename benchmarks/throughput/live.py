"""Many live sessions at once, or one very long one: speed, memory, and saving the state.

`python -m benchmarks.throughput.live JSON` is a process of its own, so that its memory is its own;
`benchmarks.throughput` runs it. Of many sessions it measures what it is asked for on standard input, a `take`
or a `save`, so that several numbers of sessions can take turns on a machine whose speed changes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.throughput.log import CLASSES, START, answers, packed_input, packed_numbers, record
from benchmarks.throughput.prepared import END_OF_TIME
from detector import profile as profiles
from detector import shard_state
from detector.changes import Change, Changes, to_bytes
from detector.collector import calm_collector
from detector.config import Config
from detector.edge import make_decoder
from detector.features.layout import DISTINCT, EVERY, FIRST_EVALUATION
from detector.model_state import ModelState
from detector.pipeline import Shard, warm_up
from detector.policy import SESSION
from detector.query import RawBatch
from detector.settings import Settings
from detector.state_header import Pieces
from detector.state_store import StateStore

BATCH = 4096
POOL = 4093
"""Different inputs; a prime, so that sessions do not get the same ones in step."""
STEP = 1e-5
"""Seconds between two queries: all sessions stay within the gap."""
AGED = 4
"""Queries that a session gets at most, on average, while speed is measured."""


class Traffic:
    """Queries of sessions with given numbers, decoded; made in bulk from a pool of inputs."""

    def __init__(self, numbers: int) -> None:
        rng = np.random.default_rng(3)
        centres = np.random.default_rng(0).normal(size=(CLASSES, numbers))
        x = centres[rng.integers(CLASSES, size=POOL)] + rng.normal(size=(POOL, numbers))
        p = answers(x)
        self._inputs = [packed_input(row, True) for row in x]
        self._answers = [packed_numbers(row, 6) for row in p]
        self._decoder = make_decoder(Config())
        self._n = 0

    def batches(self, sessions: NDArray[np.int64]) -> Iterator[RawBatch]:
        for first in range(0, len(sessions), BATCH):
            chosen = sessions[first : first + BATCH].tolist()
            numbers = range(self._n, self._n + len(chosen))
            values = [
                record(
                    START + n * STEP,
                    f"client-{s}",
                    f"session-{s}",
                    f"request-{n}",
                    self._inputs[n % POOL],
                    self._answers[n % POOL],
                )
                for n, s in zip(numbers, chosen, strict=True)
            ]
            self._n += len(chosen)
            yield RawBatch("bench", 0, values, list(numbers), END_OF_TIME)

    def through(self, shard: Shard, sessions: NDArray[np.int64]) -> float:
        """Let the shard process a query of each session named; processor seconds after decoding."""
        seconds = 0.0
        for raw in self.batches(sessions):
            records, _ = self._decoder.decode(raw)
            begun = time.process_time()
            shard.process(records)
            seconds += time.process_time() - begun
        return seconds


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Crowd:
    """Live sessions of `each` queries of `numbers` numbers, judged by a profile and saved in a folder."""

    def __init__(self, folder: Path, sessions: int, numbers: int, each: int, profile: str) -> None:
        self._known = profiles.load(Path(profile))
        warm_up(self._known)
        self._sessions, self._numbers, self._each = sessions, numbers, each
        self._rng = np.random.default_rng(4)
        self._traffic = Traffic(numbers)
        self._traffic.through(Shard(Settings(learn=False), self._known), np.arange(BATCH))
        base = resident()
        self._begin(each)
        self._resident = resident() - base
        self._spread()
        self._store = StateStore(folder, "bench", shard_state.VERSION)
        self._store.open()
        begun = time.perf_counter()
        whole = shard_state.snapshot(self._shard)
        self._all_copied = time.perf_counter() - begun
        self._pieces = _written_in_parts(self._store, whole.changes)

    def _begin(self, each: int) -> None:
        """All sessions, from their first query on."""
        settings = Settings(learn=False, memory=max(1 << 26, self._sessions * 20_000))
        self._shard = Shard(settings, self._known)
        for _ in range(each):
            self._traffic.through(self._shard, np.arange(self._sessions))

    def _spread(self) -> None:
        """0 to 3 queries more each, so that every fourth of those that come is an evaluation point: sessions
        in step would give none, or nothing else."""
        every = np.arange(self._sessions)
        for more in range(1, EVERY):
            self._traffic.through(self._shard, every[every % EVERY >= more])

    def take(self, queries: int) -> dict[str, float]:
        """Processor seconds a query, of so many at random, and evaluation points among them.

        Sessions become dearer with age, and a few would age much more than many do: they are begun anew
        before they get more than AGED queries each, and are as old on average as those of a crowd.
        """
        most = AGED * self._sessions
        seconds, points = 0.0, 0
        for first in range(0, queries, most):
            if most < queries:
                self._begin(self._each - AGED // 2)
                self._spread()
            count = min(most, queries - first)
            before = _points(self._state)
            drawn = self._rng.integers(self._sessions, size=count)
            seconds += self._traffic.through(self._shard, drawn)
            points += _points(self._state) - before
        return {"seconds": seconds / queries, "points": float(points)}

    def save(self) -> dict[str, float]:
        """Memory that the sessions took at first, and a save of what changed since all was saved."""
        found = {
            "live": float(len(self._state.sessions)),
            "resident": float(self._resident),
            "all copied": self._all_copied,
            "kept by default": float(ModelState("bench", self._numbers, Settings(), None).sessions.bound),
        }
        return found | saving(self._shard, self._store, self._pieces)

    @property
    def _state(self) -> ModelState:
        return next(iter(self._shard.models.values()))


def _points(state: ModelState) -> int:
    """Evaluation points of the sessions that are live."""
    distinct = state.entities[SESSION].slots.counts[:, DISTINCT]
    return int((distinct // EVERY - (FIRST_EVALUATION // EVERY - 1)).clip(0).sum())


PARTS = 8


def _written_in_parts(store: StateStore, changes: Changes) -> Pieces:
    """Pieces with all rows, written; several, so that not all of it is in memory twice."""
    pieces: Pieces = ()
    for part in range(PARTS if changes else 0):
        some = {
            name: Change(
                change.length,
                np.array_split(change.numbers, PARTS)[part],
                np.array_split(change.rows, PARTS)[part],
            )
            for name, change in changes.items()
        }
        rows = to_bytes(some)
        pieces = (*pieces, store.piece(0, part, rows))
        store.save(0, b"", part, pieces, rows)
    return pieces


def saving(shard: Shard, store: StateStore, pieces: Pieces) -> dict[str, float]:
    """Seconds of a save as the service does it, by the wall clock, and its bytes: what the loop waits for,
    and all of it, as at a stop."""
    begun = time.perf_counter()
    copy = shard_state.snapshot(shard)
    paused = time.perf_counter()
    rows = to_bytes(copy.changes) if copy.changes else b""
    state = copy.packed()
    if rows:
        pieces = (*pieces, store.piece(0, copy.next_offset, rows))
    store.save(0, state, copy.next_offset, pieces, rows)
    ended = time.perf_counter()
    changed = sum(len(change.numbers) for name, change in copy.changes.items() if name.endswith("rows"))
    return {
        "bytes": float(len(state) + len(rows)),
        "changed": float(changed),
        "pause": paused - begun,
        "stop": ended - begun,
    }


def one(numbers: int, queries: int, profile: str) -> dict[str, float]:
    """One session of `queries` queries: processor seconds a query in its first and last tenth."""
    known = profiles.load(Path(profile))
    warm_up(known)
    traffic = Traffic(numbers)
    shard = Shard(Settings(learn=False), known)
    tenth = queries // 10
    traffic.through(shard, np.zeros(tenth, dtype=np.int64))
    first = traffic.through(shard, np.zeros(tenth, dtype=np.int64))
    base = resident()
    for _ in range(7):
        traffic.through(shard, np.zeros(tenth, dtype=np.int64))
    last = traffic.through(shard, np.zeros(tenth, dtype=np.int64))
    return {"first": first / tenth, "last": last / tenth, "grown": float(resident() - base)}


def main() -> None:
    """One measurement, named and described by the JSON argument."""
    calm_collector()
    wanted = json.loads(sys.argv[1])
    kind = wanted.pop("kind")
    if kind == "one":
        print(json.dumps(one(**wanted)))
        return
    with tempfile.TemporaryDirectory(prefix="querywatch-") as folder:
        crowd = Crowd(Path(folder), **wanted)
        print("{}", flush=True)
        for line in sys.stdin:
            word, *numbers = line.split()
            found = crowd.take(*map(int, numbers)) if word == "take" else crowd.save()
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
