"""Signals that end the program: while it is loaded, when nothing is to be put in order, and later."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Ask a service to stop."""
RELOAD_SIGNAL = signal.SIGHUP
"""Asks a service to read its configuration again."""


def end_at_once() -> None:
    """From here on Ctrl-C is one line and exit code 130, whatever is being imported; unless it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def reload_held() -> Iterator[None]:
    """Within, RELOAD_SIGNAL waits until `on_signals` hears it, instead of ending a program that still loads.

    To be entered before other threads are started: they take over what is held back.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (RELOAD_SIGNAL,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def on_signals(
    act: Callable[[int], None], numbers: Sequence[signal.Signals] = STOP_SIGNALS
) -> Iterator[None]:
    """Within, these signals call `act` with their number, on the main thread.

    One to stop that is ignored stays so; one to reload is heard also under `nohup`.
    """

    def handle(signum: int, frame: FrameType | None) -> None:
        act(signum)

    ignored = {number for number in STOP_SIGNALS if signal.getsignal(number) is signal.SIG_IGN}
    heard = [number for number in numbers if number not in ignored]
    before = {number: signal.signal(number, handle) for number in heard}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(signum: int, frame: FrameType | None) -> None:
    try:
        os.write(2, b"querywatch: interrupted\n")
    finally:
        os._exit(130)
