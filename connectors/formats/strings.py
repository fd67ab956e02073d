"""Plain strings of JSON text, in ASCII and without escapes, for kernels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from models.compiled import lean, trailing_zeros
from models.words import MARKED, copy_string

_QUOTE, _BACKSLASH = 34, 92
_U, _I = cast(Any, np.uint64), cast(Any, np.int64)
_NONE, _ONE, _MARKED = np.uint64(0), np.uint64(1), np.uint64(MARKED)


@lean
def closing(text: Any, at: int) -> Any:
    """Where the string ends whose first character is there; 0: it is none, or not plain ASCII."""
    i = _U(at)  # an index without a sign is not looked at for being negative
    c = text[i]
    while c != _QUOTE:
        if c < 32 or c >= 128 or c == _BACKSLASH:
            return 0
        i += _ONE
        c = text[i]
    return _I(i)


@lean
def copied(text: Any, at: int, letters: Any, to: int) -> Any:
    """`closing`, and what is before it into letters from `to` on, with 64 bytes to spare."""
    i, k = _U(at), _U(to)
    while i + _MARKED <= _U(text.shape[0]):
        marks = copy_string(text, i, letters, k)
        if marks != _NONE:
            i += trailing_zeros(marks)
            return _I(i) if text[i] == _QUOTE else 0
        i += _MARKED
        k += _MARKED
    c = text[i]
    while c != _QUOTE:
        if c < 32 or c >= 128 or c == _BACKSLASH:
            return 0
        letters[k] = c
        i += _ONE
        k += _ONE
        c = text[i]
    return _I(i)


@lean
def repeated(letters: Any, begin: int, width: int, before: int) -> bool:
    """Whether so many letters from `begin` on are those from `before` on."""
    for j in range(_U(width)):
        if letters[_U(begin) + j] != letters[_U(before) + j]:
            return False
    return True
