"""Links between clients: whose queries lie so close to another client's that chance does not explain it.

Attackers who deal one search over many accounts leave no account with enough queries to be judged. But the
queries still lie close together, in places where honest ones are rare. So only *odd* queries are looked at:
off the benign values of their columns, or farther from the benign subspace than nine in ten benign ones. An
odd query is linked to another client when it is nearer to one of the last `WINDOW` odd queries of other
clients than benign odd queries usually are, or when both are so strange that one benign query in a hundred
is. An exact copy is no link: honest clients share content.

A client whose recent queries are linked again and again joins the campaign of the client that it is linked
to, or both found one. Campaigns that turn out to be one become one and keep the elder's identity. A client
whose queries are linked no more leaves. A campaign is over when none of its clients sent anything for longer
than a session's gap: what honest clients happen to send near each other on one day and on another would else
add up, and who was in a campaign be named for what others did days later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.query import FloatArray, IntArray
from models.compiled import lean

WINDOW = 2048
"""Odd queries of one model that are remembered."""
NEAREST = 1024
"""Distances of benign odd queries to other clients' that say what is usual."""
USUAL = 0.10
"""Share of benign odd queries that may be linked for being near."""
LEAST = int(USUAL * NEAREST) + 1
"""So many of the smallest distances show it."""
FIRST_DISTANCE, LARGEST_DISTANCE = 0.02, 0.25
"""What counts as near while that is not known, and at most (1: the typical distance of two inputs)."""
ENOUGH = 64
"""Distances after which it is known, and known better again."""
COPY = 1e-4
"""Inputs that are nearer are the same content, written with other digits."""
KEEP = 0.875
"""What a client's count of recent links keeps at each of its queries."""
JOIN, RELATED, LEAVE = 1.8, 1.0, 0.2
"""Counts of recent links with which a client joins, may be joined, and leaves: two links in a row; one just
now; none in 16 queries."""
LULL, SHORTEST_LULL = 32.0, 256.0
"""A campaign is joined no more once it was silent for so many of its usual pauses, counted in the model's
queries, and at least so many of them; its own clients may go on."""
ROUNDS, ROLL_CALL = 8.0, 64
"""A member that sent nothing for so many rounds of the campaign, and for SHORTEST_LULL queries of the model,
is one no more; at every so many queries of the campaign this is looked at."""
SPREAD = 1.1
"""Strange queries are linked within so many times their distance to the benign subspace."""
SMALLEST_CAMPAIGN = 3
"""Clients from which a campaign's queries are followed."""
FADE = 0.9975
"""What the count of queries by clients that left keeps at each query of the campaign: as evidence forgets at
each evaluation point, one in four."""


class Links(NamedTuple):
    """State of the links of one model; `follow_links` changes it in place.

    sketch [sketch, WINDOW] float32, client [WINDOW] (-1: none any more), strange [WINDOW] (0 or 1): the
    last odd queries, in a ring. nearest [NEAREST]: last distances to other clients', in a ring; usual [1]:
    the distance that they seldom fall below
    By client: recent [clients] decaying count of links; member [clients] slot of its campaign, -1: none;
    sessions [clients] begun in it, sent [clients] queries to it, spoke [clients] number of the last
    By campaign: clients [slots]; begun [slots] queries followed so far; elder [slots] number of its
    founding; last [slots] newest query and when [slots] its time; pause [slots] usual queries of the model
    between two; founded [slots] time, mark [slots] fingerprint of the founding query; left [slots] fading
    count of queries by clients that left, left_most [slots] of the one of them that sent most; free [slots]
    stack of unused slots
    counters [4]: odd queries, distances, campaigns founded so far; slots on the stack
    """

    sketch: npt.NDArray[np.float32]
    client: IntArray
    strange: IntArray
    nearest: FloatArray
    usual: FloatArray
    recent: npt.NDArray[np.float32]
    member: npt.NDArray[np.int32]
    sessions: npt.NDArray[np.int32]
    sent: npt.NDArray[np.int32]
    spoke: IntArray
    clients: IntArray
    begun: IntArray
    elder: IntArray
    last: IntArray
    when: FloatArray
    pause: FloatArray
    founded: FloatArray
    mark: IntArray
    left: FloatArray
    left_most: FloatArray
    free: IntArray
    counters: IntArray


ODD, DISTANCES, CAMPAIGNS, UNUSED = range(4)
NEAR, STRANGE = range(2)
GO_ON, WAIT, FULL = range(3)


def allocate(sketch: int, clients: int, slots: int) -> Links:
    """State in which nothing was linked yet."""
    return Links(
        sketch=np.zeros((sketch, WINDOW), dtype=np.float32),
        client=np.full(WINDOW, -1, dtype=np.int64),
        strange=np.zeros(WINDOW, dtype=np.int64),
        nearest=np.zeros(NEAREST),
        usual=np.full(1, FIRST_DISTANCE),
        recent=np.zeros(clients, dtype=np.float32),
        member=np.full(clients, -1, dtype=np.int32),
        sessions=np.zeros(clients, dtype=np.int32),
        sent=np.zeros(clients, dtype=np.int32),
        spoke=np.zeros(clients, dtype=np.int64),
        clients=np.zeros(slots, dtype=np.int64),
        begun=np.zeros(slots, dtype=np.int64),
        elder=np.zeros(slots, dtype=np.int64),
        last=np.zeros(slots, dtype=np.int64),
        when=np.zeros(slots),
        pause=np.zeros(slots),
        founded=np.zeros(slots),
        mark=np.zeros(slots, dtype=np.int64),
        left=np.zeros(slots),
        left_most=np.zeros(slots),
        free=np.arange(slots - 1, -1, -1, dtype=np.int64),
        counters=np.array([0, 0, 0, slots], dtype=np.int64),
    )


@lean
def keep_distance(links: Links, distance: float, least: Any) -> None:
    """Account for the distance from an odd query to the nearest of another client; least [LEAST] is
    scratch."""
    links.nearest[links.counters[DISTANCES] % NEAREST] = distance
    links.counters[DISTANCES] += 1
    known = links.counters[DISTANCES]
    if known % ENOUGH == 0:
        held = min(known, NEAREST)
        rank = int(USUAL * held)
        least[: rank + 1] = np.inf
        for i in range(held):
            value = links.nearest[i]
            if value < least[rank]:
                k = rank
                while k > 0 and least[k - 1] > value:
                    least[k] = least[k - 1]
                    k -= 1
                least[k] = value
        links.usual[0] = min(least[rank], LARGEST_DISTANCE)


@lean
def unite(links: Links, c: int, other: int, query: int, time: float, mark: Any) -> bool:
    """Make clients c and other members of one campaign; False when that needs a slot and none is free."""
    mine, theirs = links.member[c], links.member[other]
    if mine < 0 and theirs < 0:
        if links.counters[UNUSED] == 0:
            return False
        links.counters[UNUSED] -= 1
        mine = theirs = links.free[links.counters[UNUSED]]
        links.counters[CAMPAIGNS] += 1
        links.clients[mine] = 0
        links.elder[mine] = links.counters[CAMPAIGNS]
        links.founded[mine] = time
        links.mark[mine] = mark
        links.last[mine] = query
        links.when[mine] = time
        links.pause[mine] = 0.0
        links.left[mine] = links.left_most[mine] = 0.0
    elif mine >= 0 and theirs >= 0 and mine != theirs:
        old, young = (mine, theirs) if links.elder[mine] < links.elder[theirs] else (theirs, mine)
        for member in range(links.member.shape[0]):
            if links.member[member] == young:
                links.member[member] = old
        links.clients[old] += links.clients[young]
        links.when[old] = max(links.when[old], links.when[young])
        links.left[old] += links.left[young]
        links.left_most[old] = max(links.left_most[old], links.left_most[young])
        _free(links, young)
        return True
    campaign = max(mine, theirs)
    for member in (c, other):
        if links.member[member] < 0:
            links.member[member] = campaign
            links.sessions[member] = 1
            links.sent[member] = 0
            links.spoke[member] = query
            links.clients[campaign] += 1
    return True


@lean
def _free(links: Links, campaign: int) -> None:
    links.clients[campaign] = 0
    links.begun[campaign] = 0
    links.free[links.counters[UNUSED]] = campaign
    links.counters[UNUSED] += 1


@lean
def leave(links: Links, c: int) -> None:
    """Client c is no member any more; a campaign without members ends."""
    campaign = links.member[c]
    if campaign >= 0:
        links.member[c] = -1
        links.clients[campaign] -= 1
        links.left[campaign] += links.sent[c]
        links.left_most[campaign] = max(links.left_most[campaign], links.sent[c])
        if links.clients[campaign] == 0:
            _free(links, campaign)


@lean
def call_roll(links: Links, campaign: int, query: int) -> None:
    """Members of the campaign that have been silent for long leave; `query` is the number of this one."""
    round_ = links.pause[campaign] * links.clients[campaign]
    longest = max(ROUNDS * round_, SHORTEST_LULL)
    for c in range(links.member.shape[0]):
        if links.member[c] == campaign and query - links.spoke[c] > longest:
            leave(links, c)


@lean
def is_over(links: Links, campaign: int, time: float, gap: float) -> bool:
    """Whether nobody of the campaign has sent anything for longer than `gap` before `time`."""
    return bool(campaign >= 0 and time - links.when[campaign] > gap)


@lean
def end(links: Links, campaign: int) -> None:
    """All members of the campaign leave."""
    for c in range(links.member.shape[0]):
        if links.member[c] == campaign:
            leave(links, c)
