"""Sketches: inputs of any length reduced to a few numbers that keep distances, to remember many inputs by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.query import FloatArray

SKETCH = 32
"""Numbers that an input is reduced to for the ring of past inputs (random projection, linear)."""


def projection(d: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Bucket and sign [d, 2] of the fixed sparse projection of d columns; the identity up to SKETCH."""
    if d <= SKETCH:
        bucket = np.stack([np.arange(d), np.arange(d)], axis=1)
        return bucket.astype(np.int64), np.stack([np.ones(d), np.zeros(d)], axis=1)
    rng = np.random.default_rng(d)
    first = rng.integers(0, SKETCH, d)
    second = (first + rng.integers(1, SKETCH, d)) % SKETCH
    sign = rng.choice([-1.0, 1.0], (d, 2)) / np.sqrt(2.0)
    return np.stack([first, second], axis=1).astype(np.int64), sign
