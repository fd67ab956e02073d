"""Input similarity drift: how near a session's queries lie to each other and to benign inputs.

Attacks reuse what they sent before: steps shrink, near-duplicates pile up round a centre. Clones of a
model instead roam far, and off the manifold that benign inputs live on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features.forget import blend, rate, slow_rate, spread_out
from detector.features.grids import OFF_STEP
from detector.features.layout import (
    CENTRES,
    FARTHEST,
    LOG_NEAREST,
    LOG_NEAREST_SLOW,
    LOG_RADIUS,
    NEAR,
    NEAR_RUN,
    OFF_GRID,
    OFF_MANIFOLD,
    RADII,
    RADIUS_VARIANCE,
    RETURNS,
    STEPS,
)
from models.compiled import inlined, part
from models.lanes import product, square_distance

UNSTIRRED = np.int64(-3750763034362895579)
"""What a hash begins with."""
TINY = 1e-9
NEAR_DISTANCE = 0.25
FAR_DISTANCE = 0.5
RUN = 4
"""Near queries in a row that make a centre."""


@inlined
def scale_input(x: Any, inputs: Any, z: Any, sketch: Any) -> None:
    """Write scaled columns z [d] and their sketch [min(d, SKETCH)] of one raw input x [d]."""
    sketch[:] = 0.0
    for j in range(x.shape[0]):
        z[j] = min(max((x[j] - inputs.location[j]) * inputs.weight[j], -FARTHEST), FARTHEST)
    for j in range(x.shape[0]):
        v = z[j]
        sketch[inputs.bucket[j, 0]] += inputs.sign[j, 0] * v
        sketch[inputs.bucket[j, 1]] += inputs.sign[j, 1] * v


@inlined
def stir(h: Any, word: Any) -> Any:
    """The 64-bit hash h with one more word (FNV-1a by words)."""
    h = (h ^ word) * np.int64(1099511628211)
    return h ^ (h >> 29)


@inlined
def fingerprint(bits: Any) -> Any:
    """A 64-bit hash of one input's float64 bit patterns [d] : equal inputs, equal hash."""
    h = UNSTIRRED
    for j in range(bits.shape[0]):
        h = stir(h, bits[j])
    return h


@inlined
def strangeness(x: Any, z: Any, inputs: Any, half: int, row: Any, weight: float, odd: Any) -> None:
    """Off-grid share and distance to the benign subspace of one input, by what `half` says of benign ones.
    Cost O(d * components).

    odd [2] receives the logarithm of that distance, and the share, of this input alone.
    """
    d = x.shape[0]
    low, high, components = part(inputs.low, half), part(inputs.high, half), part(inputs.components, half)
    grid, distinct = part(inputs.grid, half), part(inputs.distinct, half)
    off, gridded = 0, 0
    for j in range(d):  # without a branch, so that it runs over many columns at once
        outside = (x[j] < low[j]) | (x[j] > high[j])
        steps = (x[j] - inputs.origin[j]) * inputs.per_step[j]
        between = (inputs.per_step[j] > 0.0) & (abs(steps - np.rint(steps)) > OFF_STEP)
        on_grid = distinct[j] > 0
        off += outside | (between & ~on_grid)
        gridded += on_grid
    for j in range(d if gridded > 0 else 0):
        if distinct[j] > 0 and x[j] >= low[j] and x[j] <= high[j]:
            found = False
            for g in range(distinct[j]):
                if abs(x[j] - grid[j, g]) <= inputs.tolerance[j]:
                    found = True
                    break
            if not found:
                off += 1
    odd[1] = off / d
    blend(row, OFF_GRID, odd[1], weight)
    total = product(z, z)
    for c in range(components.shape[0]):
        along = product(z, part(components, c))
        total -= along * along
    odd[0] = np.log(np.sqrt(max(total, 0.0)) + TINY)
    blend(row, OFF_MANIFOLD, odd[0], weight)


@inlined
def nearest_seen(row: Any, length: float, nearest: float, older: float) -> None:
    """Update what depends on the distance from a new input to recent ones.

    `length` is the distance to the previous input, `nearest` to the nearest of the ring, `older` to the
    nearest of the ring but the previous one (inf: none). row[STEPS] already counts this step.
    """
    weight = rate(row[STEPS])
    blend(row, NEAR, 1.0 if nearest < NEAR_DISTANCE else 0.0, weight)
    log_nearest = np.log(nearest + TINY)
    blend(row, LOG_NEAREST, log_nearest, weight)
    blend(row, LOG_NEAREST_SLOW, log_nearest, slow_rate(row[STEPS]))
    left = nearest > FAR_DISTANCE and row[NEAR_RUN] >= RUN
    blend(row, CENTRES, 1.0 if left else 0.0, slow_rate(row[STEPS]))
    if nearest < NEAR_DISTANCE:
        row[NEAR_RUN] += 1.0
    elif nearest > FAR_DISTANCE:
        row[NEAR_RUN] = 0.0
    if older < np.inf:
        blend(row, RETURNS, 1.0 if older < 0.5 * length else 0.0, weight)


@inlined
def around_centroid(sketch: Any, centroid: Any, row: Any) -> float:
    """Distance to the session's centroid, which then moves towards the query. NaN at the first one."""
    row[RADII] += 1.0
    weight = rate(row[RADII])
    radius = np.sqrt(square_distance(sketch, centroid, 1.0))
    for j in range(sketch.shape[0]):
        centroid[j] += weight * (sketch[j] - centroid[j])
    if row[RADII] < 2.0:
        return float(np.nan)
    w = rate(row[RADII] - 1.0)
    log_radius = np.log(radius + TINY)
    spread_out(row, LOG_RADIUS, RADIUS_VARIANCE, log_radius, w)
    return float(radius)
