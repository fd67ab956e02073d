"""Many live sessions at once, or one very long one: speed, memory, and saving the state.

`python -m benchmarks.throughput.live JSON` is one measurement in a process of its own, so that its memory is
its own; `benchmarks.throughput` runs it.
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
from detector.model_state import ModelState, Settings
from detector.pipeline import Shard, warm_up
from detector.policy import SESSION
from detector.query import RawBatch
from detector.state_header import Pieces
from detector.state_store import StateStore

BATCH = 4096
POOL = 4093
"""Different inputs; a prime, so that sessions do not get the same ones in step."""
STEP = 1e-5
"""Seconds between two queries: all sessions stay within the gap."""


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
        self.alerts = 0

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
            outcome = shard.process(records)
            seconds += time.process_time() - begun
            self.alerts += len(outcome.alerts)
        return seconds


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def many(sessions: int, numbers: int, each: int, queries: int, profile: str) -> dict[str, float]:
    """`sessions` live sessions of `each` queries, then `queries` more spread over them at random, and a save
    of what these changed.

    Before those, the sessions get 0 to 3 queries each, so that however many there are, every fourth of the
    queries that are timed is an evaluation point: sessions in step would give none, or nothing else.
    """
    known = profiles.load(Path(profile))
    warm_up(known)
    traffic = Traffic(numbers)
    traffic.through(Shard(Settings(learn=False), known), np.arange(BATCH))
    base = resident()
    settings = Settings(learn=False, memory=max(1 << 26, sessions * 20_000))
    shard = Shard(settings, known)
    every = np.arange(sessions)
    for _ in range(each):
        traffic.through(shard, every)
    held = resident() - base
    for more in range(1, EVERY):
        traffic.through(shard, every[every % EVERY >= more])
    with tempfile.TemporaryDirectory(prefix="querywatch-") as folder:
        return _measured(shard, traffic, Path(folder), sessions, numbers, queries) | {"resident": held}


def _measured(
    shard: Shard, traffic: Traffic, folder: Path, sessions: int, numbers: int, queries: int
) -> dict[str, float]:
    """All but the memory that they take."""
    store = StateStore(folder, "bench", shard_state.VERSION)
    store.open()
    begun = time.perf_counter()
    whole = shard_state.snapshot(shard)
    all_copied = time.perf_counter() - begun
    pieces = _written_in_parts(store, whole.changes)
    del whole
    drawn = np.random.default_rng(4).integers(sessions, size=queries)
    state = next(iter(shard.models.values()))
    before = _points(state)
    seconds = traffic.through(shard, drawn)
    found = {
        "live": float(len(state.sessions)),
        "seconds": seconds / queries,
        "points": float(_points(state) - before),
        "alerts": float(traffic.alerts),
        "kept by default": float(ModelState("bench", numbers, Settings(), None).sessions.bound),
    }
    return found | {"all copied": all_copied} | saving(shard, store, pieces)


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
    print(json.dumps(many(**wanted) if kind == "many" else one(**wanted)))


if __name__ == "__main__":
    main()
