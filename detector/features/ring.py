"""The last distinct inputs of an entity, as rounded sketches: what a new one is compared with.

Every entity keeps RING of them in its row. It is lent a block for MORE others once two of its inputs came
near each other, as those of every search do sooner or later, or it has gone on for long: nearly all sessions
end before either. A sketch is rounded to 16 bits of its own largest number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector import pool
from detector.features.layout import (
    BLOCK_SHARE,
    DISTINCT,
    LONG,
    MORE,
    NEAR,
    RING,
    SKETCH_LEVELS,
    SMALLEST,
)
from models.compiled import jit


@jit
def ring_key(h: Any, words: Any) -> Any:
    """32 bits that stand for an input with fingerprint h and a sketch of these words [sketch] int64.

    Anybody can compute inputs that share a fingerprint, and a search of such inputs would pass for retries;
    the sketch takes the units that only the profile knows.
    """
    for j in range(words.shape[0]):
        h = (h ^ words[j]) * np.int64(1099511628211)
        h ^= h >> 29
    return (h ^ (h >> 32)) & 0x7FFFFFFF


@jit
def _size(slots: Any, s: int) -> int:
    return RING + MORE if slots.block[s] > 0 else RING


@jit
def _square(sketch: Any, levels: Any, scale: float) -> float:
    """Squared distance from a sketch to a rounded one."""
    total = 0.0
    for j in range(sketch.shape[0]):
        difference = sketch[j] - levels[j] * scale
        total += difference * difference
    return total


@jit
def nearest_in_ring(slots: Any, s: int, sketch: Any, out: Any) -> None:
    """Distance to the nearest of the remembered sketches, and to the nearest but the last (inf: none):
    out [2]."""
    used, size = slots.ring_used[s], _size(slots, s)
    last = (used - 1) % size
    nearest, older = np.inf, np.inf
    for r in range(min(used, size)):
        if r < RING:
            square = _square(sketch, slots.ring[s, r], slots.ring_scale[s, r])
        else:
            b = slots.block[s] - 1
            square = _square(sketch, slots.more_ring[b, r - RING], slots.more_scale[b, r - RING])
        nearest = min(nearest, square)
        if r != last:
            older = min(older, square)
    out[0], out[1] = np.sqrt(nearest), np.sqrt(older)


@jit
def was_seen(slots: Any, s: int, key: int) -> bool:
    """True when one of the remembered inputs has this key."""
    for r in range(min(slots.ring_used[s], _size(slots, s))):
        if r < RING:
            if slots.ring_hash[s, r] == key:
                return True
        elif slots.more_hash[slots.block[s] - 1, r - RING] == key:
            return True
    return False


@jit
def _earned(slots: Any, s: int) -> bool:
    if slots.stats[s, NEAR] > 0.0:
        return True
    left = pool.free(slots.blocks) * BLOCK_SHARE
    return bool(slots.counts[s, DISTINCT] >= LONG and left > slots.blocks.counters[pool.BOUND])


@jit
def _round(sketch: Any, levels: Any) -> Any:
    """Round a sketch to `levels` of the number returned."""
    largest = 0.0
    for j in range(sketch.shape[0]):
        largest = max(largest, abs(sketch[j]))
    scale = np.float32(largest / SKETCH_LEVELS if largest > SMALLEST else 0.0)
    for j in range(sketch.shape[0]):
        levels[j] = np.int16(np.rint(sketch[j] / scale)) if scale > 0.0 else np.int16(0)
    return scale


@jit
def remember(slots: Any, s: int, sketch: Any, key: int) -> None:
    """Write a sketch and the key of its input over the oldest ones."""
    used = slots.ring_used[s]
    # In this state the row's own ring is full and in order, so it can be continued.
    if slots.block[s] == 0 and used >= RING and used % RING == 0 and _earned(slots, s):
        slots.block[s] = pool.lend(slots.blocks) + 1
        if slots.block[s] > 0:
            used = RING
    here = used % _size(slots, s)
    if here < RING:
        slots.ring_scale[s, here] = _round(sketch, slots.ring[s, here])
        slots.ring_hash[s, here] = key
    else:
        b = slots.block[s] - 1
        slots.more_scale[b, here - RING] = _round(sketch, slots.more_ring[b, here - RING])
        slots.more_hash[b, here - RING] = key
    slots.ring_used[s] = used + 1
