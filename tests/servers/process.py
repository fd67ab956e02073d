"""One server process: started, waited for, stopped by its own id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from tests.servers.errors import ServerError

_STOP_SECONDS = 30


class ServerProcess:
    """A child in a process group of its own, whose output goes to a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        answers: Callable[[], bool],
        seconds: float,
        directory: Path | None = None,
        user: str | None = None,
    ) -> None:
        """`answers` says whether the server serves; `seconds` is how long `start` waits for that.

        The log is written to `folder`, which is also the working directory unless `directory` names another.
        """
        self.log = folder / "server.log"
        self._name = name
        self._command = [*_ends_with_us(), *command]
        self._environment = dict(environment)
        self._directory = directory or folder
        self._answers = answers
        self._seconds = seconds
        self._user = user
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None while stopped."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start and wait until the server answers. Raises ServerError with the log's tail."""
        if self._child is not None:
            raise ServerError(f"{self._name} runs already (process {self._child.pid})")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self._environment,
                start_new_session=True,
                user=self._user,
                group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                extra_groups=None if self._user is None else (),
            )
        try:
            self._wait(self._child)
        except BaseException:
            self.kill()
            raise

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._seconds
        while not self._answers():
            if child.poll() is not None:
                raise ServerError(f"{self._name} ended with exit code {child.returncode}; {self._tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self._name} did not answer within {self._seconds:.0f} s; {self._tail()}")
            time.sleep(0.1)

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
        return "the last lines of its log:\n" + "\n".join(lines)

    def stop(self) -> None:
        """Ask the server to shut down and wait; after 30 s kill it. Does nothing when stopped."""
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._child = None

    def kill(self) -> None:
        """End the server at once, as a crash would. Does nothing when stopped."""
        child, self._child = self._child, None
        if child is not None and child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_row_of_ports(count: int) -> int:
    """The first of so many TCP ports in a row on 127.0.0.1 that nobody listens on now.

    They lie below those that the system gives to outgoing connections, which would take one of them before a
    server that starts slowly. Raises ServerError where there are none.
    """
    for first in range(20_000 + os.getpid() % 5_000, 32_000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise ServerError(f"no {count} free ports in a row below 32,000")


@cache
def _ends_with_us() -> tuple[str, ...]:
    """A prefix, where the system has it, that stops the server when we are killed before we can."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", "TERM")  # an option that BusyBox leaves out
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else ()
