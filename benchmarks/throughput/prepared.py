"""What every part of the benchmark works on: a log, and a profile learned from another of the same kind."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.throughput.log import write_log
from connectors.files import FileSource
from detector.config import Config
from detector.query import RawBatch

END_OF_TIME = 4e9
HISTORY_QUERIES = 20_000
EACH = 100
"""Queries of a session, about."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """`log` holds `queries` records of `numbers` numbers each, `profile` was fitted on another log."""

    log: Path
    profile: Path
    queries: int
    numbers: int
    base64: bool

    @property
    def name(self) -> str:
        """For a table."""
        return f"{self.numbers} numbers, {'base64 float32' if self.base64 else 'JSON lists'}"


def prepare(folder: Path, queries: int, numbers: int, *, base64: bool, name: str = "") -> Prepared:
    """Write the log, whose name begins with `name`, and, the first time for such inputs, learn the profile
    from a history."""
    stem = f"{numbers}-{'base64' if base64 else 'lists'}"
    history, profile, log = folder / f"{stem}.history", folder / f"{stem}.qwp", folder / f"{name}{stem}.log"
    write_log(log, queries, numbers, max(200, queries // EACH), seed=2, base64_inputs=base64, attacks=True)
    if not profile.exists():
        write_log(history, HISTORY_QUERIES, numbers, 400, seed=1, base64_inputs=base64)
        run_querywatch("fit", str(history), "--profile", str(profile))
        history.unlink()
    return Prepared(log, profile, queries, numbers, base64)


def read_log(log: Path) -> Iterator[RawBatch]:
    """The log's lines, as `replay` reads them."""
    config = Config()
    return FileSource(
        [log],
        batch_queries=config.pipeline.batch_queries,
        record_bytes=config.limits.record_bytes,
        latest=END_OF_TIME,
    ).batches()


@dataclass(frozen=True, slots=True)
class Run:
    """A finished process: what it printed, seconds by the wall clock and of the processor."""

    output: str
    errors: str
    wall: float
    cpu: float


def run_querywatch(*arguments: str, code: int = 0) -> Run:
    """The command in a process of its own."""
    return run([sys.executable, "-m", "detector", *arguments], code=code)


def run(command: list[str], *, code: int = 0, environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end. Raises SystemExit when it ends with another code."""
    before, begun = _children(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    wall = time.perf_counter() - begun
    if done.returncode != code:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return Run(done.stdout, done.stderr, wall, _children() - before)


def run_part(module: str, **arguments: object) -> dict[str, Any]:
    """Run `python -m MODULE`, which reads its arguments and prints its result as JSON, apart from this
    process and its memory."""
    found = json.loads(run([sys.executable, "-m", module, json.dumps(arguments)]).output)
    assert isinstance(found, dict)
    return found


class Part:
    """`python -m MODULE` with arguments as in `run_part`, which answers each line that it is sent with one of
    JSON; the first one says that it is ready. Raises SystemExit when it ends instead."""

    def __init__(self, module: str, **arguments: object) -> None:
        self._command = [sys.executable, "-m", module, json.dumps(arguments)]
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def ask(self, line: str) -> dict[str, Any]:
        """The answer to one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"{' '.join(self._command)} ended with {self._process.wait()}")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


Works = Mapping[str, Callable[[], object]]


def best(works: Works, times: int) -> dict[str, float]:
    """Processor seconds of each, the best of `times`: other load on the machine only ever adds.

    They take turns, so that what comes and goes on the machine does so for all of them.
    """
    seconds = dict.fromkeys(works, math.inf)
    for _ in range(times):
        for name, work in works.items():
            begun = time.process_time()
            work()
            seconds[name] = min(seconds[name], time.process_time() - begun)
    return seconds
