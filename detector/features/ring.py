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
from detector.features.similarity import UNSTIRRED, stir
from models.compiled import inlined, part
from models.lanes import largest, square_distance


@inlined
def _digest(words: Any, h: Any) -> Any:
    """A 64-bit hash of words [n] int64 that begins with h (four side by side: each alone would wait for its
    last multiplication)."""
    n = words.shape[0]
    a, b, c, d = h, h + 1, h + 2, h + 3
    for j in range(0, n - 3, 4):
        a, b = stir(a, words[j]), stir(b, words[j + 1])
        c, d = stir(c, words[j + 2]), stir(d, words[j + 3])
    for j in range(n - n % 4, n):
        a = stir(a, words[j])
    return stir(stir(stir(a, b), c), d)


@inlined
def content(bits: Any) -> Any:
    """A 64-bit hash of an input's float64 bit patterns [d]."""
    return _digest(bits, UNSTIRRED)


@inlined
def ring_key(content: Any, words: Any) -> Any:
    """32 bits that stand for an input of this content, with a sketch of these words [sketch].

    Anybody can compute inputs that share a hash, and a search of such inputs would pass for retries; the
    sketch takes units that only the profile knows.
    """
    h = _digest(words, content)
    return (h ^ (h >> 32)) & 0x7FFFFFFF


@inlined
def _size(slots: Any, s: int) -> int:
    return RING + MORE if slots.block[s] > 0 else RING


@inlined
def nearest_in_ring(slots: Any, s: int, sketch: Any, out: Any) -> None:
    """Distance to the nearest of the remembered sketches, and to the nearest but the last (inf: none):
    out [2]."""
    used, size = slots.ring_used[s], _size(slots, s)
    last = (used - 1) % size
    own, scale = part(slots.ring, s), part(slots.ring_scale, s)
    nearest, older = np.inf, np.inf
    for r in range(min(used, RING)):
        square = square_distance(sketch, part(own, r), scale[r])
        nearest = min(nearest, square)
        if r != last:
            older = min(older, square)
    if size > RING:
        b = slots.block[s] - 1
        more, scale = part(slots.more_ring, b), part(slots.more_scale, b)
        for r in range(min(used, size) - RING):
            square = square_distance(sketch, part(more, r), scale[r])
            nearest = min(nearest, square)
            if r + RING != last:
                older = min(older, square)
    out[0], out[1] = np.sqrt(nearest), np.sqrt(older)


@inlined
def was_seen(slots: Any, s: int, key: int) -> bool:
    """True when one of the remembered inputs has this key."""
    used = slots.ring_used[s]
    own = part(slots.ring_hash, s)
    for r in range(min(used, RING)):
        if own[r] == key:
            return True
    if slots.block[s] > 0:
        more = part(slots.more_hash, slots.block[s] - 1)
        for r in range(min(used, RING + MORE) - RING):
            if more[r] == key:
                return True
    return False


@inlined
def _earned(slots: Any, s: int) -> bool:
    if slots.stats[s, NEAR] > 0.0:
        return True
    left = pool.free(slots.blocks) * BLOCK_SHARE
    return bool(slots.counts[s, DISTINCT] >= LONG and left > slots.blocks.counters[pool.BOUND])


@inlined
def _round(sketch: Any, levels: Any) -> Any:
    """Round a sketch to `levels` of the number returned."""
    most = largest(sketch)
    if most <= SMALLEST:
        levels[:] = 0
        return np.float32(0.0)
    per_level = SKETCH_LEVELS / most
    for j in range(sketch.shape[0]):  # by way of 32 bits, as processors convert many floats at once
        levels[j] = np.int16(np.int32(np.rint(sketch[j] * per_level)))
    return np.float32(most / SKETCH_LEVELS)


@inlined
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
        slots.ring_scale[s, here] = _round(sketch, part(part(slots.ring, s), here))
        slots.ring_hash[s, here] = key
    else:
        b = slots.block[s] - 1
        here -= RING
        slots.more_changed[b] = 1
        slots.more_scale[b, here] = _round(sketch, part(part(slots.more_ring, b), here))
        slots.more_hash[b, here] = key
    slots.ring_used[s] = used + 1
