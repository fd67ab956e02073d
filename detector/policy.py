"""Policy: evidence against threshold, and what becomes of it: one alert an episode, then revisions.

An episode begins when an entity's evidence reaches the threshold of its kind and age, and ends when the
evidence has fallen below half of it. Within an episode a revision follows when the severity rises or the
entity has doubled since the last message, or a campaign by half as many clients again, at most
MOST_REVISIONS times.

Entities of several kinds hold the same queries, so an episode that another kind has told about is silent:
one that was under way there, with an alert out that named the client, at some time since this entity's
evidence began to rise.
A campaign is silent while that is so for the clients that sent most of its queries, and while one client
sent most of them, also one that has left: that is one client's search, and the rest are near it by chance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from detector.evidence import LATE, accumulate
from detector.features.layout import EVERY, FIRST_EVALUATION
from detector.habits import allowance, forget_habit, see_score
from detector.query import FloatArray, IntArray
from detector.suspicion import EPISODES, LEVEL, OPEN, REVISION, SHOWN_FROM, SILENT, keep, open_session
from models.ahead import ask_for
from models.compiled import lean

AHEAD = 4
"""The episode of the point that comes so many later is asked for."""
EIGHTS, FOURS = 32, 36
"""Bytes of an episode's fields of eight bytes, from `evidence` on, and of those of four, from `counts` on."""

MOST_REVISIONS = 8
HIGH, CRITICAL = 1.5, 2.5
"""Evidence over threshold from which an alert is high and critical; below, it is medium."""

LONG = FIRST_EVALUATION + EVERY * LATE
"""Distinct inputs from which an entity is long."""
MORE_CLIENTS = 1.5
ONE_CLIENT, KNOWN = 0.5, 0.75
"""Shares of a campaign's queries, of one client and of clients that were told of, that keep it silent."""

NOTHING, RAISE, REVISE = 0, 1, 2


SESSION, CLIENT, CAMPAIGN, ODD = range(4)
"""Kinds of entities; the last: the odd queries of a session."""
KINDS = 4
OTHERS = (CLIENT, CAMPAIGN, ODD)
"""Those whose queries are the sessions' too."""
AGED = (SESSION, CLIENT, ODD)
"""Those that are judged by another threshold once they are long (`detector.evidence`)."""
KIND_NAMES = ("session", "client", "campaign", "odd")
BUDGET_SHARES = (0.7, 0.1, 0.1, 0.1)
"""What each kind may spend of the false-alert budget."""


class Judged(NamedTuple):
    """Evaluation points [m] of all kinds of entities of one model, in the order of the queries.

    kind [m]; slots [m] of the entity; owner [m] number of the client that sent the query; when [m] number
    of the query; times [m]; meta [m, 4] (distinct inputs, start, serial, queries) of the entity;
    features [m, f] and their scores [m] (NaN: no opinion); series [m, RECENT, 2] recent (confidence,
    distance) pairs
    campaign [queries] slot of the campaign, -1: none, and sender [queries] client of all queries that were
    accounted for, the first of which has the number `first`
    """

    kind: IntArray
    slots: IntArray
    owner: IntArray
    when: IntArray
    times: FloatArray
    meta: FloatArray
    features: FloatArray
    scores: FloatArray
    series: FloatArray
    campaign: IntArray
    sender: IntArray
    first: int


@lean
def level(ratio: float) -> int:
    """0 medium, 1 high, 2 critical."""
    if ratio >= CRITICAL:
        return 2
    return 1 if ratio >= HIGH else 0


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
    # Who has left would not be named, but the evidence may be theirs.
    was_one_client = links.left_most[s] > ONE_CLIENT * (total + links.left[s])
    return was_one_client or largest > ONE_CLIENT * total or told > KNOWN * total


@lean
def _hear_campaign(campaigns: Any, owner: int, when: int, heard: Any, points: Any) -> None:
    """Note that a campaign which told of this client is still under way at its query number `when`.

    Its own evaluation points note that too, but fall on the same few clients where all take turns.
    """
    c = points.campaign[when - points.first]
    told = c >= 0 and campaigns.counts[c, OPEN] > 0 and campaigns.counts[c, SILENT] == 0
    if told and heard[owner, CAMPAIGN] >= campaigns.since[c]:
        heard[owner, CAMPAIGN] = when


@lean
def judge(
    kinds: Any,
    thresholds: Any,
    heard: Any,
    habits: Any,
    links: Any,
    points: Any,
    start: int,
    suppressed: Any,
) -> Any:
    """Judge evaluation points from `start` on until one calls for a message.

    kinds: the `Episodes` of each kind; thresholds [kinds, 2] while an entity is short and once it is long,
    an infinite one raises nothing; heard [clients, kinds] the last query of each client at which an entity
    of that kind was in an episode with a message out; habits: `detector.habits.Habits` of the clients;
    links: `detector.links.Links`; points: `Judged`; suppressed [1] is raised by each point that reaches the
    threshold and gives no message, since it was told before. Returns (point, NOTHING | RAISE | REVISE); the
    point after the last with NOTHING at the end.
    """
    for m in range(start, points.kind.shape[0]):
        kind, s, owner = points.kind[m], points.slots[m], points.owner[m]
        episodes = kinds[kind]
        soon = min(m + AHEAD, points.kind.shape[0] - 1)
        ask_for(kinds[points.kind[soon]].evidence, points.slots[soon], 0, EIGHTS)
        ask_for(kinds[points.kind[soon]].counts, points.slots[soon], 0, FOURS)
        queries = points.meta[m, 3]
        if points.meta[m, 0] == FIRST_EVALUATION:
            open_session(episodes, s)
        if episodes.evidence[s] == 0.0:
            episodes.since[s] = points.when[m]
        counts, score = episodes.counts[s], points.scores[m]
        point = 1 + (int(points.meta[m, 0]) - FIRST_EVALUATION) // EVERY
        # A session keeps the habit that it began with: it must not earn its own.
        if kind != ODD and (kind != SESSION or point == 1):
            episodes.allowed[s] = allowance(habits, owner)
        if kind == SESSION and counts[OPEN] == 0:
            see_score(habits, owner, score, point)
        episodes.evidence[s] = accumulate(episodes.evidence[s], score - episodes.allowed[s])
        evidence = episodes.evidence[s]
        age = 1 if points.meta[m, 0] >= LONG else 0
        if counts[OPEN] > 0:
            age = counts[OPEN] - 1
        threshold = thresholds[kind, age]
        worth = evidence > SHOWN_FROM * threshold or counts[OPEN] > 0
        keep(episodes, s, points.series[m], points.features[m], worth)
        event = NOTHING
        if counts[OPEN] == 0:
            if evidence >= threshold:
                counts[EPISODES] += 1
                counts[OPEN] = 1 + age
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
            grown = queries >= 2 * episodes.told[s]
            if kind == CAMPAIGN:
                grown = grown or links.clients[s] >= MORE_CLIENTS * episodes.told_clients[s]
            grown = grown and evidence >= threshold
            if (now > counts[LEVEL] or grown) and counts[REVISION] < MOST_REVISIONS:
                counts[LEVEL] = max(now, counts[LEVEL])
                episodes.told[s] = queries
                event = RAISE if counts[SILENT] == 1 else REVISE
        if event == RAISE:
            if kind != CAMPAIGN:
                forget_habit(habits, owner)
                _hear_campaign(kinds[CAMPAIGN], owner, points.when[m], heard, points)
            silent = _is_silent(kind, s, episodes.since[s], owner, points.when[m], heard, links, points)
            counts[SILENT] = 1 if silent else 0
            event = NOTHING if silent else RAISE
        elif event == REVISE:
            counts[REVISION] += 1
        # Who joined a campaign after it was told of was not named in the alert.
        named = kind != CAMPAIGN or heard[owner, kind] >= episodes.since[s]
        if counts[OPEN] > 0 and counts[SILENT] == 0 and named:
            heard[owner, kind] = points.when[m]
        if kind == CAMPAIGN and event != NOTHING:
            episodes.told_clients[s] = links.clients[s]
        if kind == CAMPAIGN and event == RAISE:
            # Not at a revision: whom it alone names would have no alert if its own search were not told of.
            for client in range(links.member.shape[0]):
                if links.member[client] == s:
                    heard[client, kind] = points.when[m]
        if event != NOTHING:
            return m, event
        if evidence >= threshold:
            suppressed[0] += 1
    return points.kind.shape[0], NOTHING
