"""A service that is told to stop: within some seconds it has, or it is cut off."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from detector.interrupt import on_signals

STOP_SECONDS = 9.0
"""After a signal to stop, whatever still hangs is cut off: what is saved is whole at any moment."""

log = structlog.get_logger(__name__)


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """STOP_SIGNALS set `stop`; what hangs for STOP_SECONDS after that ends the process."""

    def ask_to_stop(signum: int) -> None:
        if not stop.is_set():
            stop.set()
            watchdog.start()

    def cut_off() -> None:
        log.error("did not stop in time, cut off; what was not saved is read again at the next start")
        os._exit(1)

    watchdog = threading.Timer(STOP_SECONDS, cut_off)
    watchdog.daemon = True
    with on_signals(ask_to_stop):
        try:
            yield
        finally:
            watchdog.cancel()
