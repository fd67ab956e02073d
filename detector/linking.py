"""The loop over queries that links clients and follows the campaigns that they make; see `detector.links`."""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features.kernel import Scratch, advance
from detector.features.similarity import fingerprint, scale_input
from detector.links import (
    COPY,
    FADE,
    FULL,
    GO_ON,
    JOIN,
    KEEP,
    LEAVE,
    NEAR,
    ODD,
    ROLL_CALL,
    SMALLEST_CAMPAIGN,
    SPREAD,
    STRANGE,
    WAIT,
    WINDOW,
    Links,
    call_roll,
    end,
    is_over,
    keep_distance,
    leave,
    unite,
)
from detector.looking import HEAD, Look, look_around, look_for_company, look_near
from models.compiled import lean, part

LEARN_EVERY = 8
"""Where a profile says what is near, one odd query in so many is measured against all: for the next one."""


@lean
def _link(
    links: Links,
    tenant: Any,
    c: int,
    x: Any,
    bits: Any,
    odd: Any,
    inputs: Any,
    near: float,
    gap: float,
    unknown: bool,
    query: int,
    time: float,
    waiting: bool,
    look: Look,
    work: Scratch,
) -> int:
    """Account for one odd query of client c, and return GO_ON; or change nothing: WAIT, when it would change
    who is member of what while points are `waiting` to be judged; FULL, when it founds a campaign for which
    there is no slot.

    odd [2] as `advance` writes it; near: the distance that links, `unknown`: as far as it was learned here;
    gap [s]: silence that ends a campaign; look and work are scratch.
    """
    sketch, found, where = work.sketch, look.found, look.where
    scale_input(x, inputs, work.z, sketch)
    strange = odd[0] > inputs.odd[2] or odd[1] > inputs.odd[3]
    # Whoever learns what is near must know all distances; whoever knows it, those of some queries.
    learns = unknown or links.counters[ODD] % LEARN_EVERY == 0
    whole = learns or strange or sketch.shape[0] < 2 * HEAD
    if whole:
        look_around(links, tenant, c, sketch, look)
    else:
        look_near(links, tenant, c, sketch, max(near, COPY), look)
    copied = found[NEAR] < COPY
    # Strange queries of one search are at most as far from each other as from what is benign.
    reach = max(near, SPREAD * np.exp(odd[0])) if strange else 0.0
    recent = KEEP * links.recent[c]
    if not copied and (found[NEAR] < near or found[STRANGE] < reach):
        recent += 1.0
        to = -1
        if recent >= JOIN:
            if not whole:
                look_around(links, tenant, c, sketch, look)
            look_for_company(links, tenant, c, query, look)
            if found[NEAR + 2] < near:
                to = links.client[where[NEAR + 2]]
            elif found[STRANGE + 2] < reach:
                to = links.client[where[STRANGE + 2]]
        apart = to >= 0 and (links.member[c] < 0 or links.member[c] != links.member[to])
        if apart and not is_over(links, links.member[to], time, gap):
            if waiting:
                return WAIT
            if not unite(links, c, to, query, time, fingerprint(bits)):
                return FULL
    links.recent[c] = recent
    if learns and np.isfinite(found[NEAR]) and not copied:
        keep_distance(links, found[NEAR], look.least)
    here = links.counters[ODD] % WINDOW
    for j in range(sketch.shape[0]):
        links.sketch[j, here] = sketch[j]
    links.client[here] = c
    links.strange[here] = 1 if strange else 0
    links.counters[ODD] += 1
    return GO_ON


@lean
def follow_links(
    links: Links,
    slots: Any,
    inputs: Any,
    given: float,
    gap: float,
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
    look: Look,
    work: Scratch,
) -> Any:
    """Link queries start..stop and account for those of campaigns.

    It stops before a query that changes who takes part in a campaign while there are evaluation points, so
    that these are judged first, and where the space for points is full. owner [n] client of each query,
    tenant [clients], fresh [n] whether a session begins; odd [n, 2] as `advance` wrote it; given: the
    distance that links, NaN: the one learned here; gap [s]: the silence that ends a campaign; `first` is the
    number of query 0. out_slot [n] and out_fresh [n] are the campaign's slot, -1: none, and whether it is new
    there; the rest is as in `advance`.
    Returns (next query, points written, and whether it stopped because that query founds a campaign and no
    slot is free).
    """
    m = 0
    for i in range(start, stop):
        near = links.usual[0] if np.isnan(given) else given
        c = owner[i]
        campaign = links.member[c]
        if is_over(links, campaign, time[i], gap):
            if m > 0:
                return i, m, False
            end(links, campaign)
            campaign = -1
        if m > 0 and campaign >= 0:
            roll = links.begun[campaign] % ROLL_CALL == ROLL_CALL - 1
            if roll or fresh[i] or KEEP * links.recent[c] < LEAVE:
                return i, m, False
        if not np.isnan(odd[i, 0]):
            if odd[i, 0] > inputs.odd[0] or odd[i, 1] > inputs.odd[1]:
                said = _link(
                    links,
                    tenant,
                    c,
                    part(x, i),
                    part(bits, i),
                    part(odd, i),
                    inputs,
                    near,
                    gap,
                    np.isnan(given),
                    first + i,
                    time[i],
                    m > 0,
                    look,
                    work,
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
        links.when[campaign] = max(links.when[campaign], time[i])
        links.spoke[c] = first + i
        if fresh[i]:
            links.sessions[c] += 1
        if links.clients[campaign] < SMALLEST_CAMPAIGN:
            continue
        links.sent[c] += 1
        links.left[campaign] *= FADE
        links.left_most[campaign] *= FADE
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
            work,
        )
        m += written
        if m == out_row.shape[0]:
            return i + 1, m, False
    return stop, m, False
