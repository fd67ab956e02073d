"""The queries of clients with more than one session go through the kernels once more, over clients' slots."""

from __future__ import annotations

from typing import Any

from detector.clients import ClientTable
from detector.columns import QueryBatch
from detector.entities import Entities
from detector.features.inputs import Inputs
from detector.lent import lend
from detector.points import Points, Work
from models.compiled import lean


@lean
def follow(
    start: int,
    stop: int,
    first: int,
    owner: Any,
    fresh: Any,
    sessions: Any,
    entity: Any,
    seen: Any,
    free: Any,
    unused: Any,
    out_slot: Any,
    out_fresh: Any,
    out_sessions: Any,
) -> int:
    """Count sessions and find the client's slot of the queries start..stop; -1: it has had one session only.

    owner [n] numbers of the clients, fresh [n] whether a session begins; `first` is the number of query 0.
    Stops early, before a query whose client needs a slot when none is free. Returns where it stopped.
    """
    for i in range(start, stop):
        c = owner[i]
        begun = sessions[c] + (1 if fresh[i] else 0)
        out_slot[i] = -1
        out_fresh[i] = False
        if begun > 1:
            new = entity[c] < 0
            if not lend(entity, free, unused, c):
                return i
            out_fresh[i] = new
            out_slot[i] = entity[c]
            seen[entity[c]] = first + i
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
    threshold: float,
) -> list[Points]:
    """Evaluation points of the clients at queries start..stop; `first` is the number of query 0.

    threshold: evidence that raises an alert on a client; what comes near it is evicted last.
    """
    points: list[Points] = []
    slots = clients.slots
    while start < stop:
        done = follow(
            start,
            stop,
            first,
            work.owner,
            work.fresh,
            clients.sessions,
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
