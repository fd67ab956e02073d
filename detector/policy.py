"""Policy: evidence against threshold, and what becomes of it: one alert an episode, then revisions.

An episode begins when an entity's evidence reaches the threshold and ends when the evidence has fallen
below half of it. Within an episode a revision follows when the severity rises or the entity has grown
fourfold since the last message, or a campaign by half as many clients again, at most MOST_REVISIONS times.

Entities of several kinds hold the same queries, so an episode that another kind has told about is silent:
one that was under way there, with a message out, at some time since this entity's evidence began to rise.
A campaign is silent while that is so for the clients that sent most of its queries, and while one client
sent most of them: that is one client's search, and the rest are near it by chance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector import pool
from detector.evidence import accumulate
from detector.features.layout import EVERY, FEWEST, FIRST_EVALUATION, RECENT, Field, row_type
from detector.pool import Pool
from detector.query import FloatArray, IntArray
from models.compiled import lean

SERIES = 64
"""Points of confidence and distance that an alert shows."""
MOST_REVISIONS = 8
HIGH, CRITICAL = 1.5, 2.5
"""Evidence over threshold from which an alert is high and critical; below, it is medium."""

MORE_CLIENTS = 1.5
ONE_CLIENT, KNOWN = 0.5, 0.75
"""Shares of a campaign's queries, of one client and of clients that were told of, that keep it silent."""

NOTHING, RAISE, REVISE = 0, 1, 2


SESSION, CLIENT, CAMPAIGN = range(3)
"""Kinds of entities."""
KINDS = 3
KIND_NAMES = ("session", "client", "campaign")
BUDGET_SHARES = (0.8, 0.1, 0.1)
"""What each kind may spend of the false-alert budget."""


class Episodes(NamedTuple):
    """Policy state of `capacity` entities of one kind; `judge` changes it in place.

    evidence [capacity]; since [capacity] number of the query at which it last left 0
    counts [capacity, 5] int32: episodes so far, open (0 or 1), revision, level of the last message,
    silent (0 or 1)
    told [capacity] queries, and told_clients [capacity] int32 clients of a campaign, when the last message
    went out; began [capacity] time the episode began
    shown [capacity] int32: 1 + number of the block for the series that was lent, 0 none; points [capacity]
    int32 written to it so far
    series [blocks, SERIES, 2] float32 recent (confidence, distance), for entities whose evidence is worth
    it; blocks: which are lent; series_changed [blocks] uint8: 1 where one was written to since it was saved
    """

    evidence: FloatArray
    since: IntArray
    counts: npt.NDArray[np.int32]
    told: FloatArray
    told_clients: npt.NDArray[np.int32]
    began: FloatArray
    shown: npt.NDArray[np.int32]
    points: npt.NDArray[np.int32]
    series: npt.NDArray[np.float32]
    blocks: Pool
    series_changed: npt.NDArray[np.uint8]


ROW_FIELDS: list[Field] = [
    ("episodes_evidence", "<f8", ()),
    ("episodes_since", "<i8", ()),
    ("episodes_told", "<f8", ()),
    ("episodes_began", "<f8", ()),
    ("episodes_counts", "<i4", (5,)),
    ("episodes_told_clients", "<i4", ()),
    ("episodes_shown", "<i4", ()),
    ("episodes_points", "<i4", ()),
]
"""What one row holds beside `detector.features.layout.row_fields`."""
SERIES_SHARE = 8
"""There is a block for the series of every so many entities."""
SHOWN_FROM = 0.125
"""Evidence over threshold from which the series of an entity is kept."""

EPISODES, OPEN, REVISION, LEVEL, SILENT = range(5)


class Judged(NamedTuple):
    """Evaluation points [m] of all kinds of entities of one model, in the order of the queries.

    kind [m]; slots [m] of the entity; owner [m] number of the client that sent the query; when [m] number
    of the query; times [m]; meta [m, 4] (distinct inputs, start, serial, queries) of the entity;
    scores [m] (NaN: no opinion); series [m, RECENT, 2] recent (confidence, distance) pairs
    campaign [queries] slot of the campaign, -1: none, and sender [queries] client of all queries that were
    accounted for, the first of which has the number `first`
    """

    kind: IntArray
    slots: IntArray
    owner: IntArray
    when: IntArray
    times: FloatArray
    meta: FloatArray
    scores: FloatArray
    series: FloatArray
    campaign: IntArray
    sender: IntArray
    first: int


def blocks_for(entities: int) -> int:
    """Series that are kept for so many entities."""
    return max(8, entities // SERIES_SHARE)


def block_bytes() -> int:
    """Bytes of one series."""
    return 4 * 2 * SERIES


def views(
    rows: Any, series: npt.NDArray[np.float32], lent: Pool, series_changed: npt.NDArray[np.uint8]
) -> Episodes:
    """The columns of rows [capacity] that hold ROW_FIELDS."""
    own = {name.removeprefix("episodes_"): rows[name] for name, _, _ in ROW_FIELDS}
    return Episodes(**own, series=series, blocks=lent, series_changed=series_changed)


def allocate(capacity: int) -> Episodes:
    """State of so many entities in which nothing ever happened; it is not to grow."""
    most = max(8, capacity)
    lent = pool.make(most)
    pool.longer(lent.back, most)
    series = np.zeros((most, SERIES, 2), dtype=np.float32)
    rows = np.zeros(max(capacity, FEWEST), dtype=row_type(ROW_FIELDS))
    return views(rows, series, lent, np.zeros(most, dtype=np.uint8))


@lean
def release_series(episodes: Any, s: int) -> None:
    """Take back the block that was lent to the entity in slot s."""
    if episodes.shown[s] > 0:
        pool.give_back(episodes.blocks, episodes.shown[s] - 1)
        episodes.shown[s] = 0
    episodes.points[s] = 0


@lean
def forget(episodes: Any, gone: Any) -> None:
    """The entities in slots gone [n] are no more."""
    for s in gone:
        release_series(episodes, s)
        episodes.evidence[s] = 0.0
        episodes.counts[s, :] = 0


@lean
def level(ratio: float) -> int:
    """0 medium, 1 high, 2 critical."""
    if ratio >= CRITICAL:
        return 2
    return 1 if ratio >= HIGH else 0


@lean
def _open_session(episodes: Any, s: int) -> None:
    episodes.evidence[s] = 0.0
    episodes.since[s] = 0
    episodes.counts[s, :] = 0
    episodes.told[s] = 0.0
    release_series(episodes, s)


@lean
def _keep_series(episodes: Any, s: int, recent: Any, worth: bool) -> None:
    """Add the queries since the last point to the series of an entity whose evidence is worth it."""
    if not worth:
        release_series(episodes, s)
        return
    count = EVERY
    if episodes.shown[s] == 0:
        episodes.shown[s] = pool.lend(episodes.blocks) + 1
        if episodes.shown[s] == 0:
            return
        count = RECENT
    series = episodes.series[episodes.shown[s] - 1]
    episodes.series_changed[episodes.shown[s] - 1] = 1
    for r in range(RECENT - count, RECENT):
        series[episodes.points[s] % SERIES, 0] = recent[r, 0]
        series[episodes.points[s] % SERIES, 1] = recent[r, 1]
        episodes.points[s] += 1


@lean
def _told_elsewhere(kind: int, since: int, heard: Any) -> bool:
    """True when an entity of another kind told of this client's queries at query `since` or later."""
    for other in range(heard.shape[0]):
        if other != kind and heard[other] >= since:
            return True
    return False


@lean
def _count_later(s: int, when: int, links: Any, points: Any, by: int) -> None:
    """Change the count of queries to campaign s by those after number `when`."""
    for row in range(when - points.first + 1, points.campaign.shape[0]):
        if points.campaign[row] == s:
            links.sent[points.sender[row]] += by


@lean
def _is_silent(
    kind: int, s: int, since: int, owner: int, when: int, heard: Any, links: Any, points: Any
) -> bool:
    """True when other kinds have told, or will tell, what the entity of this kind in slot s would tell.

    when: number of the query that it is about; links.sent may already count later ones in `points`.
    """
    if kind != CAMPAIGN:
        return _told_elsewhere(kind, since, heard[owner])
    total, largest, told = 0, 0, 0
    _count_later(s, when, links, points, -1)
    for client in range(links.member.shape[0]):
        if links.member[client] == s:
            sent = links.sent[client]
            total += sent
            largest = max(largest, sent)
            if _told_elsewhere(kind, since, heard[client]):
                told += sent
    _count_later(s, when, links, points, 1)
    return largest > ONE_CLIENT * total or told > KNOWN * total


@lean
def _hear_campaign(campaigns: Any, owner: int, when: int, heard: Any, points: Any) -> None:
    """Note that a campaign which told of this client is still under way at its query number `when`.

    Its own evaluation points note that too, but fall on the same few clients where all take turns.
    """
    c = points.campaign[when - points.first]
    told = c >= 0 and campaigns.counts[c, OPEN] == 1 and campaigns.counts[c, SILENT] == 0
    if told and heard[owner, CAMPAIGN] >= campaigns.since[c]:
        heard[owner, CAMPAIGN] = when


@lean
def judge(
    kinds: Any,
    thresholds: Any,
    heard: Any,
    links: Any,
    points: Any,
    start: int,
    suppressed: Any,
) -> Any:
    """Judge evaluation points from `start` on until one calls for a message.

    kinds: the `Episodes` of each kind; thresholds [kinds], an infinite one raises nothing; heard
    [clients, kinds] the last query of each client at which an entity of that kind was in an episode with
    a message out; links: `detector.links.Links`; points: `Judged`; suppressed [1] is
    raised by each point that reaches the threshold and gives no
    message, since it was told before. Returns (point, NOTHING | RAISE | REVISE); the point after the last
    with NOTHING at the end.
    """
    for m in range(start, points.kind.shape[0]):
        kind, s, owner = points.kind[m], points.slots[m], points.owner[m]
        episodes, threshold = kinds[kind], thresholds[kind]
        queries = points.meta[m, 3]
        if points.meta[m, 0] == FIRST_EVALUATION:
            _open_session(episodes, s)
        if episodes.evidence[s] == 0.0:
            episodes.since[s] = points.when[m]
        episodes.evidence[s] = accumulate(episodes.evidence[s], points.scores[m])
        evidence = episodes.evidence[s]
        counts = episodes.counts[s]
        _keep_series(episodes, s, points.series[m], evidence > SHOWN_FROM * threshold or counts[OPEN] == 1)
        event = NOTHING
        if counts[OPEN] == 0:
            if evidence >= threshold:
                counts[EPISODES] += 1
                counts[OPEN] = 1
                counts[REVISION] = 0
                counts[LEVEL] = level(evidence / threshold)
                episodes.told[s] = queries
                episodes.began[s] = points.times[m]
                event = RAISE
        elif evidence < 0.5 * threshold:
            counts[OPEN] = 0
            counts[SILENT] = 0
        else:
            now = level(evidence / threshold)
            grown = queries >= 4 * episodes.told[s]
            if kind == CAMPAIGN:
                grown = grown or links.clients[s] >= MORE_CLIENTS * episodes.told_clients[s]
            grown = grown and evidence >= threshold
            if (now > counts[LEVEL] or grown) and counts[REVISION] < MOST_REVISIONS:
                counts[LEVEL] = max(now, counts[LEVEL])
                episodes.told[s] = queries
                event = RAISE if counts[SILENT] == 1 else REVISE
        if event == RAISE:
            if kind != CAMPAIGN:
                _hear_campaign(kinds[CAMPAIGN], owner, points.when[m], heard, points)
            silent = _is_silent(kind, s, episodes.since[s], owner, points.when[m], heard, links, points)
            counts[SILENT] = 1 if silent else 0
            event = NOTHING if silent else RAISE
        elif event == REVISE:
            counts[REVISION] += 1
        # Who joined a campaign after its last message was not named in any.
        named = kind != CAMPAIGN or heard[owner, kind] >= episodes.since[s]
        if counts[OPEN] == 1 and counts[SILENT] == 0 and named:
            heard[owner, kind] = points.when[m]
        if kind == CAMPAIGN and event != NOTHING:
            episodes.told_clients[s] = links.clients[s]
            for client in range(links.member.shape[0]):
                if links.member[client] == s:
                    heard[client, kind] = points.when[m]
        if event != NOTHING:
            return m, event
        if evidence >= threshold:
            suppressed[0] += 1
    return points.kind.shape[0], NOTHING


def recent_series(episodes: Episodes, s: int) -> tuple[list[float | None], list[float | None]]:
    """(confidence, distance) of the session's last queries, oldest first, at most SERIES; None: unknown.

    They begin when the evidence was first worth keeping them.
    """
    written = int(episodes.points[s])
    series = episodes.series[max(int(episodes.shown[s]) - 1, 0)]
    order = [k % SERIES for k in range(max(0, written - SERIES), written)]

    def column(c: int) -> list[float | None]:
        values = series[order, c].astype(np.float64)
        return [None if np.isnan(v) else round(float(v), 5) for v in values]

    return column(0), column(1)
