"""Inputs as float32 in base64, compiled: `{"b64": "...", "dtype": "float32", "shape": [...]}` to numbers.

Four characters are three bytes, so sixteen are three numbers. What is not plainly so (another type,
characters or bits that do not belong, a shape that does not fit, a number that is not finite) is left to
another reader.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from connectors.formats.floats import blank
from models.compiled import lean

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_QUOTE, _COMMA, _COLON, _OPEN, _CLOSE = 34, 44, 58, 123, 125
_LIST, _LIST_END, _PAD, _NINE = 91, 93, 61, 57
_STRAY = 1 << 24
"""Marks what has a character that is none of base64."""
AT_ONCE = 192
"""Numbers that are unpacked before they are widened: a multiple of three."""
_LARGEST = np.finfo(np.float32).max
_MOST_SIDE = 10**9
_U, _I, _ONE = cast(Any, np.uint64), cast(Any, np.int64), np.uint64(1)
_FOUR, _SIXTEEN = np.uint64(4), np.uint64(16)
_B64, _DTYPE, _SHAPE = 1, 2, 4


def _places() -> npt.NDArray[np.uint32]:
    """What a character adds to three bytes, the first lowest, by its place among four: [4, 256]."""
    table = np.full((4, 256), _STRAY, dtype=np.uint32)
    for s, letter in enumerate(_LETTERS):
        table[:, letter] = s << 2, s >> 4 | (s & 15) << 12, (s >> 2) << 8 | (s & 3) << 22, s << 16
    return table


_PLACES = _places()
_KEYS = np.array([list(name.ljust(8, b"\0")) for name in (b"b64", b"dtype", b"shape")], dtype=np.uint8)
_WIDTHS = np.array([3, 5, 5])
_FLOAT32 = np.frombuffer(b'"float32"', dtype=np.uint8)


@lean
def _three_bytes(text: Any, i: Any) -> Any:
    """The bytes of four characters, the first lowest; at least `_STRAY` where one is no base64."""
    return (
        _PLACES[0, text[i]]
        | _PLACES[1, text[i + _ONE]]
        | _PLACES[2, text[i + np.uint64(2)]]
        | _PLACES[3, text[i + np.uint64(3)]]
    )


@lean
def _widen(floats: Any, n: int, out: Any, k: int) -> bool:
    """The first n floats into out [k..k+n]; whether all are finite."""
    finite = True
    for j in range(n):
        finite &= abs(floats[j]) <= _LARGEST
        out[k + j] = floats[j]
    return finite


@lean
def _numbers(text: Any, at: int, most: int, words: Any, floats: Any, out: Any, k: int) -> Any:
    """Read up to `most` float32 from the base64 at text from `at` on.

    Returns the positions behind its quote (0: it is not read here) and in `out`.
    """
    i, n = _U(at), 0
    end = _U(len(text))
    last = k + most
    while i + _SIXTEEN <= end:
        a, b = _three_bytes(text, i), _three_bytes(text, i + _FOUR)
        c, d = _three_bytes(text, i + np.uint64(8)), _three_bytes(text, i + np.uint64(12))
        if (a | b | c | d) >= np.uint32(_STRAY):
            break
        words[n] = a | b << np.uint32(24)
        words[n + 1] = b >> np.uint32(8) | c << np.uint32(16)
        words[n + 2] = c >> np.uint32(16) | d << np.uint32(8)
        n += 3
        i += _SIXTEEN
        if n == AT_ONCE:
            if k + n > last or not _widen(floats, n, out, k):
                return 0, k
            k += n
            n = 0
    if text[i] != _QUOTE and i + np.uint64(12) <= end:
        # One number more, in six characters and two equals signs, or two in eleven and one.
        a = _three_bytes(text, i)
        if text[i + np.uint64(7)] == _PAD and text[i + np.uint64(6)] == _PAD:
            b = _PLACES[0, text[i + _FOUR]] | _PLACES[1, text[i + np.uint64(5)]]
            if a >= np.uint32(_STRAY) or b >= np.uint32(1 << 8):
                return 0, k
            words[n] = a | b << np.uint32(24)
            n += 1
            i += np.uint64(8)
        elif text[i + np.uint64(11)] == _PAD:
            b = _three_bytes(text, i + _FOUR)
            c = _PLACES[0, text[i + np.uint64(8)]] | _PLACES[1, text[i + np.uint64(9)]]
            c |= _PLACES[2, text[i + np.uint64(10)]]
            if (a | b) >= np.uint32(_STRAY) or c >= np.uint32(1 << 16):
                return 0, k
            words[n] = a | b << np.uint32(24)
            words[n + 1] = b >> np.uint32(8) | c << np.uint32(16)
            n += 2
            i += np.uint64(12)
    if text[i] != _QUOTE or k + n > last or not _widen(floats, n, out, k):
        return 0, k
    return _I(i) + 1, k + n


@lean
def _product(text: Any, i: int) -> Any:
    """Read the list of sides at text from i on; returns the position behind (0: none) and their product."""
    product = 1
    if text[i] != _LIST:
        return 0, 0
    while True:
        i = blank(text, i + 1)
        begin, side = i, 0
        while text[i] >= 48 and text[i] <= _NINE and side < _MOST_SIDE:
            side = 10 * side + text[i] - 48
            i += 1
        if i == begin or text[begin] == 48 or side >= _MOST_SIDE:
            return 0, 0
        product *= side
        if product > _MOST_SIDE:
            return 0, 0
        i = blank(text, i)
        if text[i] == _LIST_END:
            return i + 1, product
        if text[i] != _COMMA:
            return 0, 0


@lean
def _key(text: Any, i: int) -> int:
    """Which of `_KEYS` is the string whose first character is at i; -1: none."""
    for key in range(len(_WIDTHS)):
        j = 0
        while j < _WIDTHS[key] and text[i + j] == _KEYS[key, j]:
            j += 1
        if j == _WIDTHS[key] and text[i + j] == _QUOTE:
            return key
    return -1


@lean
def read_encoded(text: Any, i: int, most: int, words: Any, floats: Any, out: Any, begin: int) -> Any:
    """Read an input of 1 to `most` float32 at text [bytes] from i on into out from `begin` on.

    Returns the positions behind it, in the text (0: it is not read here) and in `out`. words [AT_ONCE]
    uint32, of which floats is a view, are overwritten. The text must end in a byte that no JSON has.
    """
    found, product, k = 0, -1, begin
    if text[i] != _OPEN:
        return 0, begin
    while True:
        i = blank(text, i + 1)
        if text[i] != _QUOTE:
            return 0, begin
        key = _key(text, i + 1)
        if key < 0 or found >> key & 1:
            return 0, begin
        found |= 1 << key
        i = blank(text, i + 2 + _WIDTHS[key])
        if text[i] != _COLON:
            return 0, begin
        i = blank(text, i + 1)
        if 1 << key == _B64:
            if text[i] != _QUOTE:
                return 0, begin
            i, k = _numbers(text, i + 1, most, words, floats, out, begin)
        elif 1 << key == _SHAPE:
            i, product = _product(text, i)
        else:
            for j in range(len(_FLOAT32)):
                if text[i + j] != _FLOAT32[j]:
                    return 0, begin
            i += len(_FLOAT32)
        if i == 0:
            return 0, begin
        i = blank(text, i)
        if text[i] == _CLOSE:
            break
        if text[i] != _COMMA:
            return 0, begin
    if k == begin or (found & _SHAPE and product != k - begin):
        return 0, begin
    return i + 1, k
