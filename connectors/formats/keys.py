"""The keys of a record, told from each other many letters at a time, for kernels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from models.compiled import inlined, lean
from models.words import word

NAMES = (
    "model_id",
    "client_id",
    "session_id",
    "request_id",
    "source_ip",
    "user_agent",
    "tenant_id",
    "timestamp",
    "input",
    "probabilities",
    "confidence",
    "label",
)
UNKNOWN = len(NAMES)
WIDTHS = np.array([len(name) for name in NAMES])
_LONGEST = 16
_KEYS = np.array([list(name.encode().ljust(_LONGEST, b"\0")) for name in NAMES], dtype=np.uint8)
_WORDS = _KEYS.view("<u8")
_MASKS = np.where(_KEYS > 0, np.uint8(255), np.uint8(0)).view("<u8")
_QUOTE = 34
_U = cast(Any, np.uint64)


@lean
def key(text: Any, i: int, end: int) -> int:
    """Which of `NAMES` text [i..end] is, or UNKNOWN."""
    for k in range(len(WIDTHS)):
        if _is(text, i, end, k):
            return k
    return UNKNOWN


@lean
def _is(text: Any, i: int, end: int, k: int) -> bool:
    if WIDTHS[k] != end - i:
        return False
    begin = _U(i)
    for j in range(_U(end - i)):
        if text[begin + j] != _KEYS[k, j]:
            return False
    return True


@inlined
def is_next(text: Any, at: int, k: int) -> bool:
    """Whether the string whose first character is there is `NAMES` [k]. Not told, and False, near the end of
    the text."""
    i = _U(at)
    if i + _U(_LONGEST) >= _U(text.shape[0]) or text[i + _U(WIDTHS[k])] != _QUOTE:
        return False
    if word(text, i) & _MASKS[k, 0] != _WORDS[k, 0]:
        return False
    return bool(WIDTHS[k] <= 8 or word(text, i + _U(8)) & _MASKS[k, 1] == _WORDS[k, 1])
