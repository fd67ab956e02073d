"""RFC 3339 times to seconds since the epoch, compiled: to the bit what `times` makes of them, or no answer.

Times before 1970 and from 2286 on, and what names no time, are left to that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from connectors.formats.floats import put_nearest
from models.compiled import lean

_QUOTE, _PLUS, _MINUS, _POINT, _COLON = 34, 43, 45, 46, 58
_FIRST_YEAR = 1970
_MOST_PLACES = 9
_LATEST = 10**10
"""From here on (year 2286) nine places of a second do not fit into 64 bits."""


@lean
def _digits(text: Any, i: int, count: int) -> int:
    """The number that `count` digits from i on are; -1: they are no digits."""
    value = 0
    for j in range(count):
        digit = int(text[i + j]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = 10 * value + digit
    return value


@lean
def _day(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar; -1 for a day that does not exist, or before."""
    if year < _FIRST_YEAR or month < 1 or month > 12 or day < 1:
        return -1
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    last = 30 + ((month + month // 8) & 1) if month != 2 else 28 + leap
    if day > last:
        return -1
    # Years that begin in March have the day that may be missing at their end.
    y, m = (year - 1, month + 9) if month <= 2 else (year, month - 3)
    return 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 1 - 719468


@lean
def read_instant(text: Any, i: int, out: Any, bits: Any) -> int:
    """Read the time whose quote is at text [bytes] i into out [1] float64; returns the position behind it.

    bits is a view of out as uint64. Returns 0 when it is none that is read here. The text must end in a byte
    that no time has.
    """
    year = _digits(text, i + 1, 4)
    if year < 0 or text[i + 5] != _MINUS:
        return 0
    month = _digits(text, i + 6, 2)
    if month < 0 or text[i + 8] != _MINUS:
        return 0
    day = _digits(text, i + 9, 2)
    if day < 0 or text[i + 11] not in (84, 116, 32):
        return 0
    hour = _digits(text, i + 12, 2)
    if hour < 0 or text[i + 14] != _COLON:
        return 0
    minute = _digits(text, i + 15, 2)
    if minute < 0 or text[i + 17] != _COLON:
        return 0
    second = _digits(text, i + 18, 2)
    if second < 0:
        return 0
    i += 20
    fraction, places = 0, 0
    if text[i] == _POINT:
        i += 1
        while text[i] >= 48 and text[i] <= 57 and places <= _MOST_PLACES:
            fraction = 10 * fraction + int(text[i]) - 48
            places += 1
            i += 1
        if places == 0 or places > _MOST_PLACES:
            return 0
    ahead = 0
    if text[i] in (90, 122):
        i += 1
    elif text[i] in (_PLUS, _MINUS):
        sign = 1 if text[i] == _PLUS else -1
        hours = _digits(text, i + 1, 2)
        if hours < 0 or hours > 23 or text[i + 3] != _COLON:
            return 0
        minutes = _digits(text, i + 4, 2)
        if minutes < 0 or minutes > 59:
            return 0
        ahead = sign * (60 * hours + minutes)
        i += 6
    else:
        return 0
    days = _day(year, month, day)
    if text[i] != _QUOTE or days < 0 or hour > 23 or minute > 59 or second > 60:
        return 0
    whole = 60 * (24 * 60 * days + 60 * hour + minute - ahead) + second
    if whole <= 0 or whole >= _LATEST:
        return 0
    digits = np.uint64(whole)
    for _ in range(places):
        digits *= np.uint64(10)
    return i + 1 if put_nearest(digits + np.uint64(fraction), -places, False, out, bits, 0) else 0
