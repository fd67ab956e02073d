"""`querywatch run --workers N`: N processes in one consumer group on this machine.

Each is a plain `run` with a number. The group shares the partitions out among them; each partition's state
lies in the one state directory, and moves with it. Nothing is restarted here: a worker that fails ends them
all, with its exit code, so that what watches the service (systemd, Kubernetes) sees it, restarts it with its
own patience, and the log says why.

Their places in the group are static. After a crash, workers that start again take the places of the ones
before them at once, instead of waiting until the broker has given those up. Worker n is known by the state
directory's random id and n. A worker that ends in order leaves its place.
"""

from __future__ import annotations

import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog

from detector.config import Config
from detector.errors import InfrastructureError, UsageError
from detector.interrupt import RELOAD_SIGNAL, STOP_SIGNALS, on_signals
from detector.ownership import Claim

STOP_SECONDS = 9.5
"""After a signal to stop, or a worker's failure, whoever has not ended is killed. Workers cut themselves off
a little earlier."""

log = structlog.get_logger(__name__)


def instance_id(config: Config, worker: int) -> str:
    """The worker's static name in the group. Raises InfrastructureError."""
    path = _id_file(config)
    try:
        return f"querywatch-{path.read_text(encoding='ascii').strip()}-{worker}"
    except (OSError, UnicodeDecodeError) as error:
        raise InfrastructureError(f"{path}: cannot be read ({error})") from error


def port(first: int, worker: int) -> int:
    """Where a worker answers monitoring: `first` for worker 1, the ports after it for the others; 0: none."""
    return first + max(0, worker - 1) if first else 0


def stop_without_parent() -> None:
    """Stop this worker when the process that started it is gone, however that ended.

    Standard input is a pipe that nothing is ever written to; it ends with that process.
    """

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def run_workers(count: int, config: Config, options: Sequence[str]) -> int:
    """Start `count` workers, `run` with `options` each, and wait until all have ended. The exit code.

    Raises what would keep every worker from starting.
    """
    from connectors.kafka_connection import partitions_of

    partitions = len(partitions_of(config.kafka))
    if count > partitions:
        log.warning("more workers than partitions, some have nothing to do", partitions=partitions)
    claim = _claim(config)
    try:
        return Workers([*_this_program(), "run", *options]).run(count)
    finally:
        claim.release()


class Workers:
    """Processes that each run `command --worker N`, and end together."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._events: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._signal = 0  # that was sent on, 0 while none was
        self._code = 0

    def run(self, count: int) -> int:
        """Until all have ended; 0, or the exit code of the first that failed (128 + n for signal n)."""
        deadline: float | None = None
        heard = (*STOP_SIGNALS, RELOAD_SIGNAL)
        with on_signals(lambda number: self._events.put(("signal", number)), heard), ExitStack() as stack:
            stack.callback(self._kill)
            for number in range(1, count + 1):
                self._start(number)
            log.info("workers started", processes={n: process.pid for n, process in self._running.items()})
            while self._running:
                try:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    what, number = self._events.get(timeout=left)
                except queue.Empty:
                    log.error("workers did not stop in time and are killed", workers=list(self._running))
                    self._kill()
                    deadline = None
                    continue
                if what == "signal":
                    self._send(number)
                else:
                    self._ended(number)
                if self._signal and deadline is None:
                    deadline = time.monotonic() + STOP_SECONDS
        log.info("all workers ended", exit_code=self._code)
        return self._code

    def _start(self, number: int) -> None:
        process = subprocess.Popen([*self._command, "--worker", str(number)], stdin=subprocess.PIPE)
        self._running[number] = process

        def wait() -> None:
            process.wait()
            self._events.put(("ended", number))

        threading.Thread(target=wait, name=f"worker {number}", daemon=True).start()

    def _send(self, number: int) -> None:
        if number != RELOAD_SIGNAL:
            self._signal = self._signal or number
        for process in self._running.values():
            process.send_signal(number)  # nothing, when it has ended

    def _kill(self) -> None:
        for process in self._running.values():
            process.kill()

    def _ended(self, number: int) -> None:
        process = self._running.pop(number)
        if process.stdin is not None:
            process.stdin.close()
        status = process.returncode
        code = status if status >= 0 else 128 - status
        if self._signal and code == 128 + self._signal:
            code = 0  # it was told to stop before it had begun
        if code == 0:
            log.info("worker ended", worker=number)
            return
        log.error(
            "worker failed" if self._signal else "worker failed, all stop",
            worker=number,
            exit_code=code,
            signal=signal.Signals(-status).name if status < 0 else None,
        )
        self._code = self._code or code
        if not self._signal:
            self._send(signal.SIGTERM)


def _this_program() -> list[str]:
    """How this process was started, up to its own arguments, so that a worker runs the same code."""
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]]


def _id_file(config: Config) -> Path:
    return Path(config.state.directory) / f"{config.kafka.topic}.workers"


def _claim(config: Config) -> Claim:
    """Hold the names of the workers, and see that there are some. Raises UsageError, InfrastructureError."""
    path = _id_file(config)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InfrastructureError(f"state directory {path.parent}: cannot be made ({error})") from error
    claim = Claim(path.with_name(path.name + ".lock"))
    if not claim.take():
        raise UsageError(
            f"{claim.holder()} already runs workers of topic {config.kafka.topic!r} with the state directory "
            f"{path.parent}; stop it first, or name another in state.directory"
        )
    if not path.exists():
        partial = path.with_name(path.name + ".partial")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(8) + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise InfrastructureError(f"{partial}: cannot be written ({error})") from error
    return claim
