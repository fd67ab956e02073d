"""The loop over queries: each updates its session's state; evaluation points give a row of features.

Strictly sequential over the batch, so a batch of 1 and a batch of 10,000 leave bit-equal state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from detector import pool
from detector.features import layout as at
from detector.features.combinations import COLUMNS, see_combinations
from detector.features.confidence import see_answer
from detector.features.forget import blend, rate
from detector.features.halves import half_of
from detector.features.layout import EVERY, FIRST_EVALUATION, P_LAST, RECENT, TO_BE_ANEW, TRACK_FROM
from detector.features.ring import content, nearest_in_ring, remember, ring_key, was_seen
from detector.features.row import write_features
from detector.features.search import take_step
from detector.features.similarity import (
    around_centroid,
    nearest_seen,
    scale_input,
    strangeness,
)
from models.ahead import ask_for
from models.compiled import inlined, lean, part

QUERIES, DISTINCT, SERIAL, START, LAST_TIME = at.QUERIES, at.DISTINCT, at.SERIAL, at.START, at.LAST_TIME
TARGET = at.TARGET
AHEAD = 2
"""The row of the query that comes so many later is asked for."""


@inlined
def release_block(slots: Any, s: int) -> None:
    """Take back the block that was lent to the entity in slot s."""
    if slots.block[s] > 0:
        pool.give_back(slots.blocks, slots.block[s] - 1)
        slots.block[s] = 0
        slots.changed[s] = 1


@lean
def release_blocks(slots: Any, gone: Any) -> None:
    """Take back what was lent to the entities in slots gone [n]."""
    for s in gone:
        release_block(slots, s)


@lean
def begin_session(slots: Any, s: int, time: float, new: bool) -> None:
    """Clear slot s for a session that begins at `time`, or is measured anew from then on."""
    release_block(slots, s)
    start = time if new else slots.times[s, START]
    slots.counts[s, :] = 0
    slots.stats[s, :] = 0.0
    slots.stats[s, TARGET] = -1.0
    slots.answers[s, :, :] = 0.0
    slots.answers[s, P_LAST, :] = np.nan
    slots.shares[s, :, :] = 0
    slots.recent[s, :, :] = np.nan
    slots.step[s, :] = 0
    slots.centroid[s, :] = 0.0
    slots.ring_used[s] = 0
    slots.last_label[s] = 0
    slots.times[s, START] = start
    slots.times[s, LAST_TIME] = time
    if new:
        slots.counters[0] += 1
    slots.counters[1] += 1
    slots.counts[s, SERIAL] = slots.counters[1]


@inlined
def is_repeat(slots: Any, s: int, x: Any, key: int) -> bool:
    """True when input x [d] is exactly the session's previous one, or `key` says that it is in its ring."""
    if slots.counts[s, DISTINCT] == 0:
        return False
    if was_seen(slots, s, key):
        return True
    last = part(slots.last_input, s)
    for j in range(x.shape[0]):
        if x[j] != last[j]:
            return False
    return True


class Scratch(NamedTuple):
    """Memory that `advance` overwrites at each query: z [d] scaled columns and their sketch [sketch]; step
    [d] in scaled units, and as share [d] of each column's range; distances [2]; folded, changes [CLASSES];
    values, bins [COLUMNS]."""

    z: Any
    sketch: Any
    step: Any
    share: Any
    distances: Any
    folded: Any
    changes: Any
    values: Any
    bins: Any


def scratch(d: int, sketch: int) -> Scratch:
    """For inputs of d numbers that are sketched by `sketch`."""
    return Scratch(
        np.empty(d),
        np.empty(sketch),
        np.empty(d),
        np.empty(d),
        np.empty(2),
        np.empty(at.CLASSES),
        np.empty(at.CLASSES),
        np.empty(COLUMNS),
        np.empty(COLUMNS, dtype=np.uint64),
    )


@inlined
def see_input(x: Any, key: int, half: int, slots: Any, s: int, inputs: Any, work: Scratch, odd: Any) -> float:
    """Update similarity and search features with a new raw input x [d] of that half, whose scaled columns and
    sketch are in `work`; key as in `ring_key`.

    Returns the step length, NaN at a session's first input. work.distances afterwards holds the distance to
    the nearest recent input in [0]; odd [2] receives how strange the input is.
    """
    row = part(slots.stats, s)
    n = slots.counts[s, DISTINCT]
    sketch, distances = work.sketch, work.distances
    strangeness(x, work.z, inputs, half, row, rate(n), odd)
    see_combinations(x, inputs, half, row, rate(n), work.values, work.bins)
    length = np.nan
    distances[0] = np.nan
    if n > 1:
        nearest_in_ring(slots, s, sketch, distances)
        length = take_step(x, slots, s, inputs, row, work)
        distances[0] = min(distances[0], length)
        nearest_seen(row, length, distances[0], distances[1])
    else:
        last = part(slots.last_input, s)
        for j in range(x.shape[0]):
            last[j] = x[j]
    if n >= TRACK_FROM:
        around_centroid(sketch, part(slots.centroid, s), row)
        remember(slots, s, sketch, key)
    return float(length)


@inlined
def ask_quarter(slots: Any, s: int, quarter: int) -> None:
    """Ask memory for a quarter, from 0 to 3, of the row of slot s: for all of it at once, a processor would
    have to wait for some of its lines before it could go on."""
    first_field = slots.last_input  # it begins where the row does
    size = first_field.strides[0] // 4
    ask_for(first_field, s, quarter * size, (quarter + 1) * size)


@lean
def advance(
    slots: Any,
    inputs: Any,
    gap: float,
    start: int,
    stop: int,
    most: int,
    slot: Any,
    fresh: Any,
    x: Any,
    bits: Any,
    p: Any,
    confidence: Any,
    margin: Any,
    label: Any,
    time: Any,
    out_odd: Any,
    out_row: Any,
    out_meta: Any,
    out_features: Any,
    out_series: Any,
    work: Scratch,
) -> Any:
    """Process queries start..stop of a batch, or fewer: it stops after `most` evaluation points.

    slot [n] says which slot a query belongs to, -1: none, it is passed over; fresh [n] whether it opens it,
    which is also set where gap [s] of silence ended a session. An exact repeat of one of a session's last
    inputs (a retry, a health check, a replayed pool) is counted and is otherwise passed over: it tells an
    attacker nothing new, so features and evaluation points are those of the distinct inputs.

    Writes, per query that is no repeat, how strange its input is (out_odd [n, 2]: log distance to the benign
    subspace, share of columns off their benign values); per evaluation point m: the query's row in the
    batch; (distinct inputs, start time, serial, queries) of its session; features; and the recent
    (confidence, distance) pairs.
    Returns (next query to process, evaluation points written).
    """
    words = work.sketch.view(np.int64)
    m = 0
    for i in range(start, stop):
        s = slot[i]
        if s < 0:
            continue
        soon = max(slot[min(i + AHEAD, stop - 1)], 0)
        ask_quarter(slots, soon, 0)
        slots.changed[s] = 1
        counts, row, input_ = part(slots.counts, s), part(slots.stats, s), part(x, i)
        new = fresh[i] or time[i] - slots.times[s, LAST_TIME] > gap
        fresh[i] = new
        if new or slots.ring_used[s] == TO_BE_ANEW:
            begin_session(slots, s, time[i], new)
        slots.times[s, LAST_TIME] = max(slots.times[s, LAST_TIME], time[i])
        counts[QUERIES] += 1
        scale_input(input_, inputs, work.z, work.sketch)
        ask_quarter(slots, soon, 1)
        said = content(part(bits, i))
        key = ring_key(said, words)
        repeat = is_repeat(slots, s, input_, key)
        blend(row, at.EXACT, 1.0 if repeat else 0.0, rate(counts[QUERIES]))
        if repeat:
            continue
        counts[DISTINCT] += 1
        n = counts[DISTINCT]
        half = half_of(said, inputs.low.shape[0])
        length = see_input(input_, key, half, slots, s, inputs, work, part(out_odd, i))
        ask_quarter(slots, soon, 2)
        see_answer(part(p, i), confidence[i], margin[i], label[i], length, slots, s, row, work)
        ask_quarter(slots, soon, 3)
        slots.recent[s, n % RECENT, 0] = confidence[i]
        slots.recent[s, n % RECENT, 1] = work.distances[0]
        if n >= FIRST_EVALUATION and n % EVERY == 0:
            out_row[m] = i
            out_meta[m, 0] = n
            out_meta[m, 1] = slots.times[s, START]
            out_meta[m, 2] = counts[SERIAL]
            out_meta[m, 3] = counts[QUERIES]
            write_features(row, part(slots.answers, s), part(slots.shares, s), inputs, part(out_features, m))
            for r in range(RECENT):
                out_series[m, r, 0] = slots.recent[s, (n + 1 + r) % RECENT, 0]
                out_series[m, r, 1] = slots.recent[s, (n + 1 + r) % RECENT, 1]
            m += 1
            if m == most:
                return i + 1, m
    return stop, m
