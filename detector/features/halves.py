"""Two halves of all inputs, told apart by their content, so that none is judged by what was learned from it.

Ranges, rare pairs and the benign subspace fit the sample they were learned from better than they fit the
inputs of tomorrow. Where a history is measured to say how strange benign inputs usually are, each of its
inputs is therefore held against what the other half showed (two-fold cross-fitting). The content decides,
not the session: who asks for the same record again would else be judged by it all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features.ring import content
from detector.query import FloatArray, IntArray
from models.compiled import inlined, lean, part

BIT = 40
"""Of the hash of an input's content, the one that decides."""


@inlined
def half_of(said: Any, halves: int) -> int:
    """The half, 0 or 1, of an input with this hash of its content; 0 where there is one half only."""
    return int((said >> BIT) & (halves - 1))


@lean
def _halves(bits: Any, out: Any) -> None:
    for i in range(bits.shape[0]):
        out[i] = half_of(content(part(bits, i)), 2)


def halves_of(rows: FloatArray) -> IntArray:
    """The half of each input [n] of rows [n, d]."""
    out = np.zeros(len(rows), dtype=np.int64)
    _halves(np.ascontiguousarray(rows).view(np.int64), out)
    return out
