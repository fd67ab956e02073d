"""The tables of one model's entities: sessions, clients, campaigns and odd queries, and how its memory is
divided among them.
"""

from __future__ import annotations

import numpy as np

from detector import odd_queries, sessions
from detector.campaigns import Campaigns
from detector.clients import BYTES, PER_SESSION, ClientTable
from detector.entities import Entities, bytes_each
from detector.features.projection import SKETCH
from detector.odd_queries import OddQueries
from detector.policy import CLIENT, SESSION
from detector.sessions import SessionTable
from detector.suspicion import OPEN

PARTS = 16
OF_CLIENTS, OF_CAMPAIGNS, OF_ODD = 2, 1, 1
OF_SESSIONS = PARTS - OF_CLIENTS - OF_CAMPAIGNS - OF_ODD
"""So many of the parts of the memory are for slots of clients, of campaigns, of sessions whose odd queries
are followed, and for sessions."""
SESSION_BYTES = sessions.BYTES + odd_queries.BYTES + PER_SESSION * BYTES
"""Of a session and of clients, beside its row."""


class Tables:
    """Of a model with inputs of d numbers, within `memory` [bytes]. `entities` holds those of each kind, in
    the order of `detector.policy.KIND_NAMES`."""

    def __init__(self, d: int, memory: int) -> None:
        self.d = d
        self.memory = memory
        self._each = bytes_each(d, min(d, SKETCH))
        self._make()

    def _make(self) -> None:
        d, sketch = self.d, min(self.d, SKETCH)
        for_sessions, for_clients, for_campaigns, for_odd = self._room()
        self.sessions = SessionTable(for_sessions)
        self.clients = ClientTable(PER_SESSION * self.sessions.bound, for_clients)
        self.campaigns = Campaigns(d, sketch, self.clients.capacity, for_campaigns)
        self.odd = OddQueries(d, sketch, for_odd)
        self.entities = (
            Entities(self.sessions.bound, d, sketch),
            Entities(self.clients.slots.bound, d, sketch),
            self.campaigns.entities,
            self.odd.entities,
        )
        self.entities[SESSION].grow(self.sessions.capacity)
        self.entities[CLIENT].grow(self.clients.slots.capacity)
        self.odd.know(self.sessions.capacity)

    def start_over(self) -> None:
        """Nothing was seen yet."""
        self._make()
        for entities in self.entities:
            for flags in entities.changed.values():
                flags[:] = 1

    def _room(self) -> tuple[int, int, int, int]:
        """Sessions, slots of clients, campaigns, and sessions with odd queries that the memory holds."""
        others = [of * self.memory // PARTS for of in (OF_CLIENTS, OF_CAMPAIGNS, OF_ODD)]
        clients, campaigns, odd = (part // self._each for part in others)
        return (self.memory - sum(others)) // (self._each + SESSION_BYTES), clients, campaigns, odd

    @property
    def held(self) -> int:
        """Bytes of memory without which what is held now would have no room."""
        held = (
            (OF_SESSIONS, self.sessions.used * (self._each + SESSION_BYTES)),
            (OF_CLIENTS, self.clients.slots.capacity * self._each),
            (OF_CAMPAIGNS, self.campaigns.slots * self._each),
            (OF_ODD, self.odd.slots.capacity * self._each),
        )
        return max(-(-of_them * PARTS // parts) for parts, of_them in held)

    @property
    def allocated(self) -> int:
        """Bytes that the tables of entities, sessions and clients take, used or not."""
        return sum(part.nbytes for part in (*self.entities, self.sessions, self.clients))

    def use_memory(self, memory: int) -> None:
        """Go on with another share of the memory, at least what is `held`."""
        self.memory = memory
        for_sessions, for_clients, for_campaigns, for_odd = self._room()
        self.sessions.rebound(for_sessions)
        self.clients.rebound(PER_SESSION * self.sessions.bound, for_clients)
        self.campaigns.rebound(for_campaigns)
        self.odd.rebound(for_odd)
        bounds = (
            self.sessions.bound,
            self.clients.slots.bound,
            self.campaigns.bound,
            self.odd.slots.bound,
        )
        for entities, bound in zip(self.entities, bounds, strict=True):
            entities.rebound(bound)

    @property
    def begun(self) -> int:
        """Sessions begun so far."""
        return int(self.entities[SESSION].counters[0])

    @property
    def open_episodes(self) -> int:
        """Sessions and clients that have alerted and have not calmed down."""
        return sum(int(np.count_nonzero(own.episodes.counts[:, OPEN])) for own in self.entities)
