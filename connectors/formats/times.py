"""RFC 3339 times to seconds since the epoch, strictly: a time without a zone is no point in time."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)


def rfc3339_seconds(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time such as `2026-11-24T10:15:42.118Z`.

    Up to nine digits of a second are read, as exactly as a float64 holds them; a leap second (`:60`)
    counts as the first second of the next minute. Raises ValueError saying what is wrong.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("is no RFC 3339 time with a zone, such as 2026-11-24T10:15:42.118Z")
    day, minute, second, fraction, zone = match.groups()
    if int(second) > 60:
        raise ValueError(f"has second {second}")
    try:
        whole = _minute_start(day, minute, zone) + int(second)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"names no day and time that exist ({error})") from None
    if fraction is None:
        return float(whole)
    # The decimal text is rounded once, by the parser; for times before 1970 the fraction still adds.
    return float(f"{whole}.{fraction}") if whole >= 0 else whole + float(f"0.{fraction}")


@lru_cache(maxsize=1024)
def _minute_start(day: str, minute: str, zone: str) -> int:
    """Epoch seconds of the start of a minute; neighbouring records mostly share it."""
    return int(datetime.fromisoformat(f"{day}T{minute}:00{'+00:00' if zone in 'Zz' else zone}").timestamp())
