"""Python's garbage collector, told what this program is like."""

from __future__ import annotations

import gc


def calm_collector() -> None:
    """Let it look less often.

    Records come by the thousand and hold no cycles: with Python's default it looks through all of them
    again and again, which costs more than decoding them.
    """
    gc.set_threshold(50_000, 20, 100)
