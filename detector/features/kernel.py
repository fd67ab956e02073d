"""The loop over queries: each updates its session's state; evaluation points give a row of features.

Strictly sequential over the batch, so a batch of 1 and a batch of 10,000 leave bit-equal state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features import layout as at
from detector.features.confidence import see_answer
from detector.features.forget import blend, rate
from detector.features.layout import EVERY, FIRST_EVALUATION, P_LAST, RECENT, RING, TRACK_FROM
from detector.features.row import write_features
from detector.features.search import take_step
from detector.features.similarity import (
    around_centroid,
    fingerprint,
    in_ring,
    nearest_seen,
    ring_distances,
    scale_input,
    sketch_in_ring,
    strangeness,
)
from models.compiled import jit

QUERIES, DISTINCT, START, LAST_TIME, SERIAL = at.QUERIES, at.DISTINCT, at.START, at.LAST_TIME, at.SERIAL
TARGET = at.TARGET


@jit
def release_track(slots: Any, s: int) -> None:
    """Give a session's track back to the stack of free ones."""
    if slots.track[s] >= 0:
        slots.free[slots.counters[0]] = slots.track[s]
        slots.counters[0] += 1
        slots.track[s] = -1


@jit
def begin_session(slots: Any, s: int, time: float, new: bool) -> None:
    """Clear slot s for a session that begins at `time`, or is measured anew from then on."""
    release_track(slots, s)
    start = time if new else slots.scalars[s, START]
    slots.scalars[s, :] = 0.0
    slots.classes[s, :, :] = 0.0
    slots.classes[s, P_LAST, :] = np.nan
    slots.recent[s, :, :] = np.nan
    slots.last_step[s, :] = 0.0
    slots.scalars[s, START] = start
    slots.scalars[s, LAST_TIME] = time
    slots.scalars[s, TARGET] = -1.0
    if new:
        slots.counters[1] += 1
    slots.counters[2] += 1
    slots.scalars[s, SERIAL] = slots.counters[2]


@jit
def take_track(slots: Any, s: int) -> None:
    """Lend a free track to the session in slot s. There is one for every slot."""
    slots.counters[0] -= 1
    track = slots.free[slots.counters[0]]
    slots.track[s] = track
    slots.ring_used[track] = 0
    slots.centroid[track, :] = 0.0


@jit
def is_repeat(slots: Any, s: int, x: Any, h: Any, inputs: Any, z: Any, sketch: Any) -> bool:
    """True when input x [d] with fingerprint h is exactly the session's previous one or in its ring.

    Anybody can compute inputs that share a fingerprint, and a search of such inputs would pass for retries;
    so the sketch must be the same too, which takes the units that only the profile knows. z and sketch are
    scratch.
    """
    if slots.scalars[s, DISTINCT] == 0.0:
        return False
    track = slots.track[s]
    if track >= 0 and in_ring(h, slots.ring_hash[track], slots.ring_used[track]):
        scale_input(x, inputs, z, sketch)
        if sketch_in_ring(h, sketch, slots.ring_hash[track], slots.ring[track], slots.ring_used[track]):
            return True
    for j in range(x.shape[0]):
        if x[j] != slots.last_input[s, j]:
            return False
    return True


@jit
def see_input(
    x: Any, h: Any, slots: Any, s: int, inputs: Any, z: Any, sketch: Any, distances: Any, odd: Any
) -> float:
    """Update similarity and search features with a new raw input x [d] of fingerprint h.

    Returns the step length, NaN at a session's first input. distances [2] is scratch and afterwards
    holds the distance to the nearest recent input in [0]; odd [2] receives how strange the input is.
    """
    row = slots.scalars[s]
    n = row[DISTINCT]
    track = slots.track[s]
    scale_input(x, inputs, z, sketch)
    strangeness(x, z, inputs, row, rate(n), odd)
    length = np.nan
    distances[0] = np.nan
    if n > 1.0:
        distances[0] = np.inf
        distances[1] = np.inf
        if track >= 0:
            ring_distances(sketch, slots.ring[track], slots.ring_used[track], distances)
        length = take_step(x, slots.last_input[s], inputs, slots.last_step[s], row)
        distances[0] = min(distances[0], length)
        nearest_seen(row, length, distances[0], distances[1])
    else:
        slots.last_input[s, :] = x
    if n >= TRACK_FROM:
        if track < 0:
            take_track(slots, s)
            track = slots.track[s]
        around_centroid(sketch, slots.centroid[track], row)
        here = slots.ring_used[track] % RING
        slots.ring[track, here, :] = sketch
        slots.ring_hash[track, here] = h
        slots.ring_used[track] += 1
    return float(length)


@jit
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
    z = np.empty(x.shape[1])
    sketch = np.empty(slots.centroid.shape[1])
    distances = np.empty(2)
    m = 0
    for i in range(start, stop):
        s = slot[i]
        if s < 0:
            continue
        row = slots.scalars[s]
        new = fresh[i] or time[i] - row[LAST_TIME] > gap
        fresh[i] = new
        if new or row[at.RESTART] > 0.0:
            begin_session(slots, s, time[i], new)
        row[LAST_TIME] = max(row[LAST_TIME], time[i])
        row[QUERIES] += 1.0
        h = fingerprint(bits[i])
        repeat = is_repeat(slots, s, x[i], h, inputs, z, sketch)
        blend(row, at.EXACT, 1.0 if repeat else 0.0, rate(row[QUERIES]))
        if repeat:
            continue
        row[DISTINCT] += 1.0
        n = int(row[DISTINCT])
        length = see_input(x[i], h, slots, s, inputs, z, sketch, distances, out_odd[i])
        see_answer(p[i], confidence[i], margin[i], label[i], length, slots.classes[s], row)
        slots.recent[s, n % RECENT, 0] = confidence[i]
        slots.recent[s, n % RECENT, 1] = distances[0]
        if n >= FIRST_EVALUATION and n % EVERY == 0:
            out_row[m] = i
            out_meta[m, 0] = n
            out_meta[m, 1] = row[START]
            out_meta[m, 2] = row[SERIAL]
            out_meta[m, 3] = row[QUERIES]
            write_features(row, slots.classes[s], out_features[m])
            for r in range(RECENT):
                out_series[m, r, :] = slots.recent[s, (n + 1 + r) % RECENT, :]
            m += 1
            if m == most:
                return i + 1, m
    return stop, m
