"""Gradient-like search patterns: the geometry of successive steps, which no step size changes.

Cosines between steps sit at constants for many attacks (-0.5 for noise round a centre, -0.707 for
antithetic pairs, 1 and -1 for line searches), finite differences touch one column at a time, binary
searches halve their steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features.forget import blend, rate, spread_out
from detector.features.layout import (
    ATOMS,
    COLLINEAR,
    COSINE,
    COSINES,
    EVENNESS,
    FARTHEST,
    FOLLOWING,
    FOLLOWINGS,
    HALVING,
    LAST_LENGTH,
    LAST_RISE,
    LOG_STEP,
    ONE_COLUMN,
    SMALLEST,
    SPARSITY,
    STEP_LEVELS,
    STEP_VARIANCE,
    STEPS,
)
from models.compiled import inlined, part
from models.lanes import largest, product, total

TINY = 1e-9
ATOM_WIDTH = 0.03
COLLINEAR_FROM = 0.985
LENGTH_WIDTH = 0.015
UNEVEN = 0.5


@inlined
def take_step(x: Any, slots: Any, s: int, inputs: Any, row: Any, work: Any) -> float:
    """Account for the step from the last input of the entity in slot s to x, both raw [d]; returns its length
    in scaled units. work: `kernel.Scratch`.

    The step is taken in float64 before scaling: a column near 200,000 keeps steps of 0.001. A change
    in a column that never varied in benign traffic counts as changed but has no length; a step of such
    changes only gets the smallest length. Both the last input and the last step are replaced, the step
    rounded: angles need no more. Cost O(d).
    """
    d = x.shape[0]
    last, old_step = part(slots.last_input, s), part(slots.step, s)
    step, share = work.step, work.share
    changed = 0
    for j in range(d):
        changed += x[j] != last[j]
    for j in range(d):
        step[j] = min(max((x[j] - last[j]) * inputs.weight[j], -FARTHEST), FARTHEST)
    for j in range(d):
        share[j] = min(abs((x[j] - last[j]) * inputs.per_range[j]), FARTHEST)
    square, along = product(step, step), product(step, old_step)
    old_square = product(old_step, old_step)
    most = largest(step)
    per_level = STEP_LEVELS / most if most > SMALLEST else 0.0
    for j in range(d):  # by way of 32 bits: processors convert many floats at once to these only
        old_step[j] = np.int8(np.int32(np.rint(step[j] * per_level)))
    for j in range(d):
        last[j] = x[j]
    length = max(np.sqrt(square), TINY)
    all_shares, even = total(share), product(share, share)
    row[STEPS] += 1.0
    weight = rate(row[STEPS])
    log_length = np.log(length)
    spread_out(row, LOG_STEP, STEP_VARIANCE, log_length, weight)
    blend(row, SPARSITY, np.log2(changed / d), weight)
    blend(row, EVENNESS, all_shares * all_shares / (changed * even) if even > 0.0 else 0.0, weight)
    blend(row, ONE_COLUMN, 1.0 if changed == 1 and d > 1 else 0.0, weight)
    if row[STEPS] > 1.0 and old_square > 0.0 and per_level > 0.0:
        # The step before is rounded: that can carry a cosine beyond 1.
        turn(row, min(max(along / np.sqrt(square * old_square), -1.0), 1.0), length)
    row[LAST_LENGTH] = length
    return float(length)


@inlined
def turn(row: Any, cosine: float, length: float) -> None:
    """Account for the angle and the ratio between two successive steps."""
    row[COSINES] += 1.0
    weight = rate(row[COSINES])
    blend(row, COSINE, cosine, weight)
    atom = abs(cosine + 0.5) < ATOM_WIDTH or abs(cosine + np.sqrt(0.5)) < ATOM_WIDTH
    blend(row, ATOMS, 1.0 if atom else 0.0, weight)
    octaves = np.log2(length / row[LAST_LENGTH])
    # Going on evenly is what smooth streams do, not a line search.
    searching = cosine < -COLLINEAR_FROM or (cosine > COLLINEAR_FROM and abs(octaves) > UNEVEN)
    blend(row, COLLINEAR, 1.0 if searching else 0.0, weight)
    even = abs(octaves) < 1.5 and abs(octaves - np.rint(octaves)) < LENGTH_WIDTH
    blend(row, HALVING, 1.0 if even else 0.0, weight)
    if row[LAST_RISE] != 0.0:
        row[FOLLOWINGS] += 1.0
        blend(row, FOLLOWING, np.sign(row[LAST_RISE]) * cosine, rate(row[FOLLOWINGS]))
