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
from models.compiled import inlined, part


@inlined
def ring_key(h: Any, words: Any) -> Any:
    """32 bits that stand for an input with fingerprint h and a sketch of these words [sketch] int64.

    Anybody can compute inputs that share a fingerprint, and a search of such inputs would pass for retries;
    the sketch takes the units that only the profile knows.
    """
    for j in range(words.shape[0]):
        h = (h ^ words[j]) * np.int64(1099511628211)
        h ^= h >> 29
    return (h ^ (h >> 32)) & 0x7FFFFFFF


@inlined
def _size(slots: Any, s: int) -> int:
    return RING + MORE if slots.block[s] > 0 else RING


@inlined
def _squares(sketch: Any, levels: Any, scale: Any, n: int, first: int, squares: Any, totals: Any) -> None:
    """Squared distances from a sketch to the first n rounded ones, levels [.., sketch].

    They go to totals, from `first` on. n is a multiple of 4, squares [n, sketch] scratch.
    Four sums run side by side: each alone would wait for its last addition.
    """
    k = sketch.shape[0]
    for r in range(n):
        row, unit, out = part(levels, r), scale[r], part(squares, r)
        for j in range(k):
            difference = sketch[j] - row[j] * unit
            out[j] = difference * difference
    for r in range(0, n, 4):
        one, two = part(squares, r), part(squares, r + 1)
        three, four = part(squares, r + 2), part(squares, r + 3)
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for j in range(k):
            a += one[j]
            b += two[j]
            c += three[j]
            d += four[j]
        here = first + r
        totals[here], totals[here + 1], totals[here + 2], totals[here + 3] = a, b, c, d


@inlined
def nearest_in_ring(slots: Any, s: int, sketch: Any, squares: Any, totals: Any, out: Any) -> None:
    """Distance to the nearest of the remembered sketches, and to the nearest but the last (inf: none):
    out [2]. squares [RING + MORE, sketch] and totals [RING + MORE] are scratch."""
    used, size = slots.ring_used[s], _size(slots, s)
    last = (used - 1) % size
    _squares(sketch, part(slots.ring, s), part(slots.ring_scale, s), RING, 0, squares, totals)
    if size > RING:
        b = slots.block[s] - 1
        held = -(-(min(used, size) - RING) // 4) * 4
        _squares(sketch, part(slots.more_ring, b), part(slots.more_scale, b), held, RING, squares, totals)
    nearest, older = np.inf, np.inf
    for r in range(min(used, size)):
        nearest = min(nearest, totals[r])
        if r != last:
            older = min(older, totals[r])
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
    largest = 0.0
    for j in range(sketch.shape[0]):
        largest = max(largest, abs(sketch[j]))
    scale = np.float32(largest / SKETCH_LEVELS if largest > SMALLEST else 0.0)
    if scale == 0.0:
        levels[:] = 0
        return scale
    for j in range(sketch.shape[0]):
        levels[j] = np.int16(np.rint(sketch[j] / scale))
    return scale


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
