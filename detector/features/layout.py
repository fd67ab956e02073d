"""Where the state of an entity lies: one row of bytes each, so that finding it touches one stretch of memory.

A row holds the last input exactly, the last step and the sketches of the last RING inputs rounded, and the
running statistics below in float32. An entity that earns it (queries came near each other, or it is
long) is lent a block for MORE further sketches; most sessions end before.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector import pool
from detector.pool import Pool
from detector.query import FloatArray, IntArray

LENGTHS = 64
"""Lengths of inputs for which the types of rows are kept: a thousand models are made, and alike."""
MEMORY = 16
"""Queries after which a statistic has forgotten about two thirds."""
LONG_MEMORY = 64
"""Memory of the statistics that trends are measured against."""
FIRST_EVALUATION = 8
EVERY = 4
"""Sessions are evaluated at their 8th distinct input and at every 4th from then on."""
TRACK_FROM = 4
"""Distinct inputs after which sketches are kept."""
RING, MORE = 4, 12
"""Sketches in the row of an entity, and in the block that it may be lent."""
TO_BE_ANEW = -1
"""In `ring_used`: what was measured of the entity so far counts no more."""
LONG = 24
"""Distinct inputs from which an entity is lent a block, near queries or not, while many are left."""
BLOCK_SHARE = 4
"""There is a block for every so many entities; the last quarter of them is for near queries."""
CLASSES = 16
"""Classes are folded onto this many accumulators (class number modulo 16)."""
FARTHEST = 1e15
"""No scaled column counts as further away: float32 state stays finite, and one wild input blinds nothing."""
SMALLEST = 1e-30
"""What lies below in scaled units is rounded to 0: a scale must be a normal float32 number."""
META = 4
"""Columns that `advance` writes beside the features of an evaluation point."""
RECENT = 8
"""Confidences and distances kept for the evidence series until the next evaluation point."""
STEP_LEVELS, SKETCH_LEVELS, SHARE_LEVELS = 127.0, 32767.0, 32767.0
"""What the largest number of a step, the largest of a sketch, and a share of 1 are rounded to."""

# Columns of `times`, of `counts` and of `stats`. Counts that only matter while small are among the last.
START, LAST_TIME = range(2)
QUERIES, DISTINCT, SERIAL = range(3)
(
    STEPS,
    COSINES,
    ANSWERS,
    RADII,
    MARGINS,
    LABELS,
    FOLLOWINGS,
    NEAR_RUN,
    LAST_LENGTH,
    LAST_CONFIDENCE,
    LAST_RISE,
    TARGET,
    LOG_STEP,
    STEP_VARIANCE,
    LOG_NEAREST,
    LOG_NEAREST_SLOW,
    LOG_RADIUS,
    RADIUS_VARIANCE,
    NEAR,
    EXACT,
    OFF_GRID,
    OFF_MANIFOLD,
    SPARSITY,
    ONE_COLUMN,
    COSINE,
    ATOMS,
    COLLINEAR,
    RETURNS,
    HALVING,
    MARGIN,
    FLIPS,
    CLOSE_FLIPS,
    CONFIDENCE_STEP,
    DOUBT,
    FOLLOWING,
    CENTRES,
    EVENNESS,
    RARE_VALUES,
    RARE_PAIRS,
) = range(39)
STATS = 39

# Rows of `answers` and of `shares`, each of CLASSES columns.
P_LAST, P_BEST, P_RECENT, P_LONGER = range(4)
P_TREND, P_RECORD, LABEL_SHARE, CONFIDENCE_SHARE = range(4)


FEWEST = 2
"""Rows to allocate at least: the columns of fewer are contiguous, and kernels would be compiled anew."""


Flags = npt.NDArray[np.uint8]


class Slots(NamedTuple):
    """Feature state of `capacity` entities of one model; the kernels change it in place.

    All but the last seven are views of the rows [capacity, ...]:
    last_input [d] float64: exact, so that steps far smaller than the values survive
    times [2] float64; counts [3] int64; stats [STATS] float32
    answers [4, CLASSES] float32; shares [4, CLASSES] int16, in SHARE_LEVELS of 1
    recent [RECENT, 2] float32; last_label int32
    step [d] int8, direction of the last step in scaled units, in STEP_LEVELS of its largest number
    ring [RING, sketch] int16, in SKETCH_LEVELS of ring_scale [RING] float32; ring_hash [RING] int32;
    ring_used int32: sketches written to the ring, or TO_BE_ANEW; block int32: 1 + number of the block lent,
    0 none
    centroid [sketch] float32
    more_ring, more_scale, more_hash [blocks, MORE, ...]: the ring continued; blocks: which are lent
    counters [2] int64: sessions begun so far, and serial numbers given so far (more, where sessions under way
    were measured anew)
    changed [capacity], more_changed [blocks] uint8: 1 where a row, a block was written to since it was saved
    """

    last_input: FloatArray
    times: FloatArray
    counts: npt.NDArray[np.int64]
    stats: npt.NDArray[np.float32]
    answers: npt.NDArray[np.float32]
    shares: npt.NDArray[np.int16]
    recent: npt.NDArray[np.float32]
    last_label: npt.NDArray[np.int32]
    step: npt.NDArray[np.int8]
    ring: npt.NDArray[np.int16]
    ring_scale: npt.NDArray[np.float32]
    ring_hash: npt.NDArray[np.int32]
    ring_used: npt.NDArray[np.int32]
    block: npt.NDArray[np.int32]
    centroid: npt.NDArray[np.float32]
    more_ring: npt.NDArray[np.int16]
    more_scale: npt.NDArray[np.float32]
    more_hash: npt.NDArray[np.int32]
    blocks: Pool
    counters: npt.NDArray[np.int64]
    changed: Flags
    more_changed: Flags


Field = tuple[str, str, tuple[int, ...]]


def evaluations(distinct: FloatArray) -> IntArray:
    """The how many-th of its entity each evaluation point is [m], from 1, by the distinct inputs so far."""
    return (distinct.astype(np.int64) - FIRST_EVALUATION) // EVERY + 1


def row_fields(d: int, sketch: int) -> list[Field]:
    """Name, type and shape of what one row holds."""
    return [
        ("last_input", "<f8", (d,)),
        ("times", "<f8", (2,)),
        ("counts", "<i8", (3,)),
        ("stats", "<f4", (STATS,)),
        ("answers", "<f4", (4, CLASSES)),
        ("recent", "<f4", (RECENT, 2)),
        ("ring_scale", "<f4", (RING,)),
        ("centroid", "<f4", (sketch,)),
        ("ring_hash", "<i4", (RING,)),
        ("ring_used", "<i4", ()),
        ("block", "<i4", ()),
        ("last_label", "<i4", ()),
        ("shares", "<i2", (4, CLASSES)),
        ("ring", "<i2", (RING, sketch)),
        ("step", "<i1", (d,)),
    ]


@lru_cache(LENGTHS)
def block_type(sketch: int) -> np.dtype[np.void]:
    """What one block holds."""
    return row_type(
        [
            ("more_scale", "<f4", (MORE,)),
            ("more_hash", "<i4", (MORE,)),
            ("more_ring", "<i2", (MORE, sketch)),
        ]
    )


def row_type(fields: list[Field]) -> np.dtype[np.void]:
    """Rows of these fields, the widest numbers first, so that none straddles, padded to whole words."""
    fields = sorted(fields, key=lambda field: -np.dtype(field[1]).itemsize)
    offsets, at = [], 0
    for _, kind, shape in fields:
        offsets.append(at)
        at += np.dtype(kind).itemsize * math.prod(shape)
    return np.dtype(
        {
            "names": [name for name, _, _ in fields],
            "formats": [(kind, shape) for _, kind, shape in fields],
            "offsets": offsets,
            "itemsize": -(-at // 8) * 8,
        }
    )


def blocks_for(entities: int) -> int:
    """Blocks there are for so many entities."""
    return max(8, entities // BLOCK_SHARE)


def views(
    rows: Any, blocks: Any, lent: Pool, counters: npt.NDArray[np.int64], changed: Flags, more_changed: Flags
) -> Slots:
    """The columns of rows [capacity] of `row_fields` (and perhaps others) and blocks of `block_type`."""
    own = {name: rows[name] for name, _, _ in row_fields(1, 1)}
    own |= {name: blocks[name] for name in block_type(1).names or ()}
    return Slots(**own, blocks=lent, counters=counters, changed=changed, more_changed=more_changed)


def allocate(capacity: int, d: int, sketch: int) -> Slots:
    """Empty state for `capacity` entities that is not to grow."""
    most = max(8, capacity)
    lent = pool.make(most)
    pool.longer(lent.back, most)
    rows = np.zeros(max(capacity, FEWEST), dtype=row_type(row_fields(d, sketch)))
    flags, more_flags = np.zeros(len(rows), dtype=np.uint8), np.zeros(most, dtype=np.uint8)
    blocks = np.zeros(most, dtype=block_type(sketch))
    return views(rows, blocks, lent, np.zeros(2, dtype=np.int64), flags, more_flags)
