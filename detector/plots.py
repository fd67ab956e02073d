"""Small plots for a terminal, out of block characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

_HEIGHTS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def sparkline(values: Sequence[float | None]) -> str:
    """One character a value, its height the value between the smallest and the largest; blank: unknown."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = high - low

    def character(value: float | None) -> str:
        if value is None:
            return " "
        share = (value - low) / span if span > 0 else 0.5
        return _HEIGHTS[min(len(_HEIGHTS) - 1, int(share * len(_HEIGHTS)))]

    return "".join(character(value) for value in values)


def log_scaled(values: Sequence[float | None]) -> list[float | None]:
    """Logarithms of values that are not negative; a zero stands a decade below the smallest other value."""
    floor = min((value for value in values if value), default=1.0) / 10.0
    return [None if value is None else math.log10(max(value, floor)) for value in values]


def value_range(values: Sequence[float | None]) -> str:
    """The smallest and largest value, for the axis of a sparkline."""
    known = [value for value in values if value is not None]
    return f"{min(known):.3g} to {max(known):.3g}" if known else "unknown"


def bar(share: float, width: int) -> str:
    """A horizontal bar, `share` in [0, 1] of `width` characters, to an eighth of a character."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")
