"""Where the state of a session lies: rows of columns, one slot a session.

Every session has a slot: its last input and step, and the running statistics below. A *track* holds what
is costlier (sketches of the last inputs, the centroid) and is lent to sessions that live past
`TRACK_FROM` inputs. There is a track for every slot as yet; fewer would do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.query import FloatArray

MEMORY = 16
"""Queries after which a statistic has forgotten about two thirds."""
LONG_MEMORY = 64
"""Memory of the statistics that trends are measured against."""
FIRST_EVALUATION = 8
EVERY = 4
"""Sessions are evaluated at their 8th distinct input and at every 4th from then on."""
TRACK_FROM = 4
RING = 16
CLASSES = 16
"""Classes are folded onto this many accumulators (class number modulo 16)."""
FARTHEST = 1e15
"""No scaled column counts as further away: float32 state stays finite, and one wild input blinds nothing."""
META = 4
"""Columns that `advance` writes beside the features of an evaluation point."""
RECENT = 8
"""Confidences and distances kept for the evidence series until the next evaluation point."""

# Columns of `scalars`. Counters first, then the last values, then forgetting statistics.
(
    QUERIES,
    DISTINCT,
    STEPS,
    COSINES,
    ANSWERS,
    RADII,
    START,
    LAST_TIME,
    SERIAL,
    LAST_LENGTH,
    LAST_LABEL,
    LAST_CONFIDENCE,
    LAST_RISE,
    TARGET,
    LOG_STEP,
    LOG_STEP_SQUARE,
    LOG_NEAREST,
    LOG_NEAREST_SLOW,
    LOG_RADIUS,
    LOG_RADIUS_SQUARE,
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
    MARGINS,
    FLIPS,
    LABELS,
    CLOSE_FLIPS,
    CONFIDENCE_STEP,
    DOUBT,
    FOLLOWING,
    FOLLOWINGS,
    NEAR_RUN,
    CENTRES,
    RESTART,
) = range(43)
SCALARS = 43

# Blocks of CLASSES columns in `classes`.
P_LAST, P_BEST, P_TREND, P_RECORD, P_RECENT, P_LONGER, LABEL_SHARE, CONFIDENCE_SHARE = range(8)
BLOCKS = 8


class Slots(NamedTuple):
    """Feature state of `capacity` sessions of one model; the kernels change it in place.

    last_input [capacity, d] float64: exact, so that steps far smaller than the values survive
    last_step [capacity, d] float32 in scaled units
    scalars [capacity, SCALARS], classes [capacity, BLOCKS, CLASSES], recent [capacity, RECENT, 2]
    track [capacity] int64: row of the track arrays, -1 none
    ring [tracks, RING, sketch] float32, ring_hash [tracks, RING] int64, ring_used [tracks],
    centroid [tracks, sketch] float64
    free [tracks] stack of unused tracks; counters [3]: tracks on that stack, sessions begun so far,
    and serial numbers given so far (more, where sessions under way were measured anew)
    """

    last_input: FloatArray
    last_step: npt.NDArray[np.float32]
    scalars: FloatArray
    classes: FloatArray
    recent: FloatArray
    track: npt.NDArray[np.int64]
    ring: npt.NDArray[np.float32]
    ring_hash: npt.NDArray[np.int64]
    ring_used: npt.NDArray[np.int64]
    centroid: FloatArray
    free: npt.NDArray[np.int64]
    counters: npt.NDArray[np.int64]


def bytes_per_session(d: int, sketch: int) -> int:
    """Bytes of one slot with its track: what the memory bound is divided by."""
    slot = 12 * d + 8 * (SCALARS + BLOCKS * CLASSES + 2 * RECENT + 1)
    return slot + 4 * RING * sketch + 8 * (RING + sketch + 2)


def allocate(capacity: int, d: int, sketch: int) -> Slots:
    """Empty state for `capacity` sessions."""
    return Slots(
        last_input=np.zeros((capacity, d)),
        last_step=np.zeros((capacity, d), dtype=np.float32),
        scalars=np.zeros((capacity, SCALARS)),
        classes=np.zeros((capacity, BLOCKS, CLASSES)),
        recent=np.full((capacity, RECENT, 2), np.nan),
        track=np.full(capacity, -1, dtype=np.int64),
        ring=np.zeros((capacity, RING, sketch), dtype=np.float32),
        ring_hash=np.zeros((capacity, RING), dtype=np.int64),
        ring_used=np.zeros(capacity, dtype=np.int64),
        centroid=np.zeros((capacity, sketch)),
        free=np.arange(capacity - 1, -1, -1, dtype=np.int64),
        counters=np.array([capacity, 0, 0], dtype=np.int64),
    )


def grow(slots: Slots, capacity: int) -> Slots:
    """The same state with room for `capacity` sessions."""
    old = len(slots.track)
    wider = allocate(capacity, slots.last_input.shape[1], slots.centroid.shape[1])
    for name in (
        "last_input",
        "last_step",
        "scalars",
        "classes",
        "recent",
        "track",
        "ring",
        "ring_hash",
        "ring_used",
        "centroid",
    ):
        getattr(wider, name)[:old] = getattr(slots, name)
    unused = int(slots.counters[0])
    fresh = capacity - old
    # New tracks lie under the old ones on the stack, so the order of use does not depend on when it grew.
    wider.free[:fresh] = np.arange(capacity - 1, old - 1, -1)
    wider.free[fresh : fresh + unused] = slots.free[:unused]
    wider.counters[:] = (fresh + unused, slots.counters[1], slots.counters[2])
    return wider
