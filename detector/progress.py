"""How far a long read has come: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

FIRST_LINE_SECONDS = 2.0
LINE_SECONDS = 5.0


class Meter(Protocol):
    """What is being read."""

    @property
    def bytes_read(self) -> int:
        """Bytes read so far."""

    @property
    def bytes_total(self) -> int | None:
        """Bytes there are, None where that is not known."""


class Reading:
    """Shows on standard error how far `meter` has come; use as a context manager, call `advance`."""

    def __init__(self, label: str, meter: Meter) -> None:
        self._label = label
        self._meter = meter
        self._started = time.monotonic()
        self._next_line = self._started + FIRST_LINE_SECONDS
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[queries]:,} queries"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(self._label, total=self._meter.bytes_total, queries=0)
            self._bar.start()
        return self

    def advance(self, queries: int) -> None:
        """Tell how many queries have been read in all."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._meter.bytes_read, queries=queries)
            return
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + LINE_SECONDS
            total = self._meter.bytes_total
            share = f"{100 * self._meter.bytes_read / total:.0f}%, " if total else ""
            speed = queries / (now - self._started)
            line = f"{self._label}: {share}{queries:,} queries, {speed:,.0f} queries/s"
            with suppress(OSError):  # who read it has left; what is found goes elsewhere
                print(line, file=sys.stderr)  # noqa: T201

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()
