"""The queries of clients with more than one session go through the kernels once more, over clients' slots.

A client is followed in stretches. A silence longer than the gap ends one that has LONG_STRETCH queries, if
the last LONG_RUN of them or more came without such a silence: what honest clients do over weeks would else
add up, and thresholds that allow for it leave no search to be found. Whoever sends less at a time, or waits
before each query, could not be judged by a part of it and is followed on.
"""

from __future__ import annotations

from typing import Any

from detector.clients import ClientTable
from detector.columns import QueryBatch
from detector.entities import Entities
from detector.features.inputs import Inputs
from detector.lent import lend
from detector.points import Points, Work
from models.compiled import lean

LONG_STRETCH, LONG_RUN = 100, 24
"""Queries from which on a stretch may end, and those of them without a silence. They are counted no further,
in one byte each."""


@lean
def follow(
    start: int,
    stop: int,
    first: int,
    gap: float,
    owner: Any,
    fresh: Any,
    time: Any,
    stretches: Any,
    entity: Any,
    seen: Any,
    free: Any,
    unused: Any,
    out_slot: Any,
    out_fresh: Any,
    out_sessions: Any,
) -> int:
    """Count sessions and find the client's slot of the queries start..stop; -1: it has had one session only
    in this stretch.

    owner [n] numbers of the clients, fresh [n] whether a session begins, time [n], gap [s]; stretches:
    `detector.clients.Stretches`; `first` is the number of query 0.
    Stops early, before a query whose client needs a slot when none is free. Returns where it stopped.
    """
    queries, run, last, sessions = stretches
    for i in range(start, stop):
        c = owner[i]
        if time[i] - last[c] > gap:
            if queries[c] >= LONG_STRETCH and run[c] >= LONG_RUN:
                queries[c], sessions[c] = 0, 0
            run[c] = 0
        begun = sessions[c] + (1 if fresh[i] else 0)
        out_slot[i] = -1
        out_fresh[i] = False
        if begun > 1:
            new = entity[c] < 0 or (fresh[i] and begun == 2)
            if not lend(entity, free, unused, c):
                return i
            out_fresh[i] = new
            out_slot[i] = entity[c]
            seen[entity[c]] = first + i
        queries[c] = min(queries[c] + 1, LONG_STRETCH)
        run[c] = min(run[c] + 1, LONG_RUN)
        last[c] = max(last[c], time[i])
        sessions[c] = begun
        out_sessions[i] = begun
    return stop


def follow_clients(
    clients: ClientTable,
    entities: Entities,
    batch: QueryBatch,
    inputs: Inputs,
    start: int,
    stop: int,
    first: int,
    work: Work,
    gap: float,
    threshold: float,
) -> list[Points]:
    """Evaluation points of the clients at queries start..stop; `first` is the number of query 0, gap [s].

    threshold: evidence that raises an alert on a client; what comes near it is evicted last.
    """
    points: list[Points] = []
    slots = clients.slots
    while start < stop:
        done = follow(
            start,
            stop,
            first,
            gap,
            work.owner,
            work.fresh,
            batch.timestamps,
            clients.stretches,
            slots.slot_of,
            slots.seen,
            slots.free,
            slots.unused,
            work.client,
            work.client_fresh,
            work.sessions,
        )
        points += entities.measure_all(batch, inputs, start, done, work.client, work.client_fresh, work.odd)
        start = done
        if start < stop:
            entities.release(slots.make_room(entities.suspicion(threshold)))
            entities.grow(slots.capacity)
    return points
