"""Campaigns of one model: clients linked by what they ask, followed as one entity.

The queries of all members go through the same kernels as those of a session, in the shard's order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector import suspicion
from detector.clients import ClientTable
from detector.columns import QueryBatch
from detector.entities import Entities
from detector.features import layout
from detector.features.catalogue import NAMES
from detector.features.inputs import Inputs
from detector.features.kernel import scratch
from detector.linking import follow_links
from detector.links import DISTANCES, FIRST_DISTANCE, UNUSED, Links, allocate, leave
from detector.looking import looking
from detector.points import POINTS, Points, Work
from detector.pool import longer
from detector.query import IntArray
from detector.sessions import EVICTED_SHARE, EXPIRE_EVERY

CAPACITY = 8
BY_CLIENT = ("recent", "member", "sessions", "sent", "spoke")
"""Columns of the links with one entry a client."""
BY_CAMPAIGN = ("clients", "begun", "elder", "last", "when", "pause", "founded", "mark", "left", "left_most")
"""Those with one entry a campaign."""
LAPSE = EXPIRE_EVERY
"""A campaign that sent nothing for so many queries of the model is over."""


class Members(NamedTuple):
    """Who takes part in a campaign: numbers of the clients, how many of its queries each has sent, sessions
    in it, time and mark of its founding."""

    clients: IntArray
    sent: IntArray
    sessions: int
    founded: float
    mark: int


class Campaigns:
    """Links and campaigns of a model with inputs of d numbers, at most `bound` campaigns at a time."""

    def __init__(self, d: int, sketch: int, clients: int, bound: int) -> None:
        self.bound = max(bound, CAPACITY)
        self.links: Links = allocate(sketch, clients, CAPACITY)
        self.entities = Entities(self.bound, d, sketch)
        self.entities.grow(CAPACITY)
        self._row = np.zeros(POINTS, dtype=np.int64)
        self._meta = np.zeros((POINTS, layout.META))
        self._features = np.zeros((POINTS, len(NAMES)))
        self._series = np.zeros((POINTS, layout.RECENT, 2))
        self._look = looking()
        self._scratch = scratch(d, sketch)

    @property
    def distance(self) -> float:
        """Distance to other clients' odd queries that few benign ones fall below, as far as seen here."""
        return float(self.links.usual[0])

    @property
    def slots(self) -> int:
        """Slots for campaigns, taken or not."""
        return len(self.links.clients)

    def rebound(self, bound: int) -> None:
        """Follow at most so many campaigns from now on, or as many as there are slots."""
        self.bound = max(bound, self.slots)

    def know(self, clients: int) -> None:
        """Make room for `clients` client numbers."""
        before = len(self.links.member)
        if clients > before:
            for name in BY_CLIENT:
                longer(getattr(self.links, name), clients)
            self.links.member[before:] = -1

    def follow(
        self,
        batch: QueryBatch,
        inputs: Inputs,
        near: float,
        gap: float,
        first: int,
        start: int,
        stop: int,
        work: Work,
        clients: ClientTable,
    ) -> tuple[int, Points, bool]:
        """`follow_links`, with the points as they are until the next call; writes `work.campaign`."""
        self.entities.reserve(stop - start)
        begins = np.zeros(len(batch), dtype=np.bool_)
        done, m, full = follow_links(
            self.links,
            self.entities.slots,
            inputs,
            near,
            gap,
            first,
            start,
            stop,
            work.owner,
            clients.tenant,
            work.fresh,
            work.odd,
            batch.inputs,
            batch.inputs.view(np.int64),
            batch.probabilities,
            batch.confidence,
            batch.margin,
            batch.labels,
            batch.timestamps,
            work.campaign,
            begins,
            self._row,
            self._meta,
            self._features,
            self._series,
            self._look,
            self._scratch,
        )
        # An episode that is still open there would silence whom the slot's last campaign told of.
        suspicion.forget(self.entities.episodes, work.campaign[begins])
        row = self._row[:m]
        return (
            done,
            Points(row, work.campaign[row], self._meta[:m], self._features[:m], self._series[:m]),
            bool(full),
        )

    def make_room(self, threshold: float) -> None:
        """Add slots, or end an eighth of the campaigns: least recently active first, suspicious ones last."""
        slots = len(self.links.clients)
        if slots < self.bound:
            wider = min(2 * slots, self.bound)
            fresh = np.arange(wider - 1, slots - 1, -1)
            unused = np.zeros(wider, dtype=np.int64)
            unused[: len(fresh)] = fresh
            self.links.counters[UNUSED] = len(fresh)
            grown = {
                name: np.concatenate([column, np.zeros(wider - slots, dtype=column.dtype)])
                for name in BY_CAMPAIGN
                for column in [getattr(self.links, name)]
            }
            self.links = self.links._replace(free=unused, **grown)
            self.entities.grow(wider)
            return
        order = np.lexsort((self.links.last, self.entities.suspicion(threshold)))
        self._end(order[: max(1, slots // EVICTED_SHARE)])

    def sweep(self, query: int) -> None:
        """End the campaigns that sent nothing in the last LAPSE queries before number `query`."""
        over = (self.links.clients > 0) & (self.links.last < query - LAPSE)
        self._end(np.flatnonzero(over))

    def _end(self, campaigns: IntArray) -> None:
        self._leave(np.flatnonzero(np.isin(self.links.member, campaigns)))
        self.entities.release(campaigns)

    def measure_anew(self) -> None:
        """Forget the queries and distances of other units; campaigns go on."""
        self.links.client[:] = -1
        self.links.counters[: DISTANCES + 1] = 0
        self.links.usual[:] = FIRST_DISTANCE

    def forget(self, clients: IntArray) -> None:
        """These client numbers are free for others."""
        self._leave(clients)
        self.links.recent[clients] = 0.0
        self.links.client[np.isin(self.links.client, clients)] = -1

    def _leave(self, clients: IntArray) -> None:
        for c in clients.tolist():
            leave(self.links, c)

    def members(self, campaign: int) -> Members:
        """Who takes part in the campaign of that slot."""
        clients = np.flatnonzero(self.links.member == campaign)
        return Members(
            clients,
            self.links.sent[clients].astype(np.int64),
            int(self.links.sessions[clients].sum()),
            float(self.links.founded[campaign]),
            int(self.links.mark[campaign]),
        )

    def state(self, clients: int) -> dict[str, npt.NDArray[np.generic]]:
        """Everything but the entities, of the first `clients` numbers of clients."""
        links = self.links
        links = links._replace(**{name: getattr(links, name)[:clients] for name in BY_CLIENT})
        # What lies above the top of the stack of free slots is left over from earlier.
        free = np.where(np.arange(len(links.free)) < links.counters[UNUSED], links.free, -1)
        return dict(links._replace(free=free)._asdict())

    def load(self, arrays: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.links = Links(**{name: np.array(arrays[name]) for name in Links._fields})
        self.bound = max(self.bound, len(self.links.clients))
