"""Ctrl-C while the program is still being loaded, when there is nothing to put in order."""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_at_once() -> None:
    """From here on Ctrl-C is one line and exit code 130, whatever is being imported; unless it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(signum: int, frame: FrameType | None) -> None:
    try:
        os.write(2, b"querywatch: interrupted\n")
    finally:
        os._exit(130)
