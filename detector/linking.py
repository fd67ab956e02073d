"""The loop over queries that links clients and follows the campaigns that they make; see `detector.links`."""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features.kernel import advance
from detector.features.similarity import fingerprint, scale_input
from detector.links import (
    COPY,
    FULL,
    GO_ON,
    JOIN,
    KEEP,
    LEAVE,
    LULL,
    NEAR,
    ODD,
    RELATED,
    ROLL_CALL,
    SHORTEST_LULL,
    SMALLEST_CAMPAIGN,
    SPREAD,
    STRANGE,
    WAIT,
    WINDOW,
    Links,
    call_roll,
    keep_distance,
    leave,
    unite,
)
from models.compiled import jit


@jit
def _look_around(
    links: Links, tenant: Any, c: int, query: int, sketch: Any, distances: Any, found: Any, where: Any
) -> None:
    """Find the odd queries of other clients of c's tenant that lie nearest to sketch.

    distances [WINDOW] is scratch. found [4] distances (inf: none), where [4] positions in the ring: of the
    nearest; of the nearest strange one; and of both among clients that have been linked just now.
    """
    held = min(links.counters[ODD], WINDOW)
    distances[:held] = 0.0
    for j in range(sketch.shape[0]):
        value = np.float32(sketch[j])
        row = links.sketch[j]
        for w in range(held):
            difference = row[w] - value
            distances[w] += difference * difference
    found[:] = np.inf
    for w in range(held):
        other = links.client[w]
        if other < 0 or other == c or tenant[other] != tenant[c]:
            continue
        distance = distances[w]
        related = links.recent[other] >= RELATED
        campaign = links.member[other]
        if related and campaign >= 0 and campaign != links.member[c]:
            silence = query - links.last[campaign]
            related = silence <= max(LULL * links.pause[campaign], SHORTEST_LULL)
        for strange in range(1 + links.strange[w]):
            for kind in range(strange, strange + (3 if related else 1), 2):
                if distance < found[kind]:
                    found[kind], where[kind] = distance, w
    for kind in range(4):
        found[kind] = np.sqrt(found[kind])


@jit
def _link(
    links: Links,
    tenant: Any,
    c: int,
    x: Any,
    bits: Any,
    odd: Any,
    inputs: Any,
    near: float,
    query: int,
    time: float,
    waiting: bool,
    work: Any,
) -> int:
    """Account for one odd query of client c, and return GO_ON; or change nothing: WAIT, when it would change
    who is member of what while points are `waiting` to be judged; FULL, when it founds a campaign for which
    there is no slot.

    odd [2] as `advance` writes it; work: scratch (z [d], sketch, distances [WINDOW], found [4], where [4]).
    """
    z, sketch, distances, found, where = work
    scale_input(x, inputs, z, sketch)
    strange = odd[0] > inputs.odd[2] or odd[1] > inputs.odd[3]
    _look_around(links, tenant, c, query, sketch, distances, found, where)
    copied = found[NEAR] < COPY
    # Strange queries of one search are at most as far from each other as from what is benign.
    reach = max(near, SPREAD * np.exp(odd[0])) if strange else 0.0
    recent = KEEP * links.recent[c]
    if not copied and (found[NEAR] < near or found[STRANGE] < reach):
        recent += 1.0
        to = -1
        if found[NEAR + 2] < near:
            to = links.client[where[NEAR + 2]]
        elif found[STRANGE + 2] < reach:
            to = links.client[where[STRANGE + 2]]
        if recent >= JOIN and to >= 0 and (links.member[c] < 0 or links.member[c] != links.member[to]):
            if waiting:
                return WAIT
            if not unite(links, c, to, query, time, fingerprint(bits)):
                return FULL
    links.recent[c] = recent
    if np.isfinite(found[NEAR]) and not copied:
        keep_distance(links, found[NEAR])
    here = links.counters[ODD] % WINDOW
    for j in range(sketch.shape[0]):
        links.sketch[j, here] = sketch[j]
    links.client[here] = c
    links.strange[here] = 1 if strange else 0
    links.counters[ODD] += 1
    return GO_ON


@jit
def follow_links(
    links: Links,
    slots: Any,
    inputs: Any,
    given: float,
    first: int,
    start: int,
    stop: int,
    owner: Any,
    tenant: Any,
    fresh: Any,
    odd: Any,
    x: Any,
    bits: Any,
    p: Any,
    confidence: Any,
    margin: Any,
    label: Any,
    time: Any,
    out_slot: Any,
    out_fresh: Any,
    out_row: Any,
    out_meta: Any,
    out_features: Any,
    out_series: Any,
) -> Any:
    """Link queries start..stop and account for those of campaigns.

    It stops before a query that changes who takes part in a campaign while there are evaluation points, so
    that these are judged first, and where the space for points is full. owner [n] client of each query,
    tenant [clients], fresh [n] whether a session begins; odd [n, 2] as `advance` wrote it; given: the
    distance that links, NaN: the one learned here; `first` is the number of query 0. out_slot [n] and
    out_fresh [n] are the campaign's slot, -1: none, and whether it is new there; the rest is as in `advance`.
    Returns (next query, points written, and whether it stopped because that query founds a campaign and no
    slot is free).
    """
    work = (
        np.empty(x.shape[1]),
        np.empty(links.sketch.shape[0]),
        np.empty(WINDOW, dtype=np.float32),
        np.empty(4),
        np.empty(4, dtype=np.int64),
    )
    m = 0
    for i in range(start, stop):
        near = links.usual[0] if np.isnan(given) else given
        c = owner[i]
        campaign = links.member[c]
        if m > 0 and campaign >= 0:
            roll = links.begun[campaign] % ROLL_CALL == ROLL_CALL - 1
            if roll or fresh[i] or KEEP * links.recent[c] < LEAVE:
                return i, m, False
        if not np.isnan(odd[i, 0]):
            if odd[i, 0] > inputs.odd[0] or odd[i, 1] > inputs.odd[1]:
                said = _link(
                    links, tenant, c, x[i], bits[i], odd[i], inputs, near, first + i, time[i], m > 0, work
                )
                if said != GO_ON:
                    return i, m, said == FULL
            else:
                links.recent[c] *= KEEP
            if links.recent[c] < LEAVE:
                leave(links, c)
        campaign = links.member[c]
        out_slot[i] = -1
        if campaign < 0:
            continue
        pause = first + i - links.last[campaign]
        links.pause[campaign] += (1.0 - KEEP) * (pause - links.pause[campaign])
        links.last[campaign] = first + i
        links.spoke[c] = first + i
        if fresh[i]:
            links.sessions[c] += 1
        if links.clients[campaign] < SMALLEST_CAMPAIGN:
            continue
        links.sent[c] += 1
        out_slot[i] = campaign
        out_fresh[i] = links.begun[campaign] == 0
        links.begun[campaign] += 1
        if links.begun[campaign] % ROLL_CALL == 0:
            call_roll(links, campaign, first + i)
        _, written = advance(
            slots,
            inputs,
            np.inf,
            i,
            i + 1,
            1,
            out_slot,
            out_fresh,
            x,
            bits,
            p,
            confidence,
            margin,
            label,
            time,
            odd,
            out_row[m:],
            out_meta[m:],
            out_features[m:],
            out_series[m:],
        )
        m += written
        if m == out_row.shape[0]:
            return i + 1, m, False
    return stop, m, False
