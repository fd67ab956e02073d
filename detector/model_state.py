"""All that a shard knows about one model: its entities, what is measured of them, and what judges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detector import policy
from detector.alert import Alert
from detector.clients import BYTES, PER_SESSION, ClientTable, follow
from detector.ecs import Finding, build_alert
from detector.entities import POINTS, Entities, Points, bytes_each, join
from detector.features import inputs as units
from detector.features import layout
from detector.features.inputs import Inputs
from detector.learner import SAMPLE_QUERIES, InputSample, Learner, learn_units
from detector.policy import CLIENT, SESSION, Judged
from detector.profile import ModelProfile
from detector.query import FloatArray, IntArray, QueryBatch
from detector.sessions import SessionTable

CLIENT_MEMORY = 8
"""Clients take this part of the memory for their slots; the rest is for sessions."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says to the core. gap [s]; memory [bytes] per model and shard."""

    gap: float = 1800.0
    memory: int = 1 << 30
    budget: float = 1.0
    learn: bool = True
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class Followed:
    """The client's slot of each query [n] of a batch, -1: none; whether its entity begins there; and how
    many sessions its client had begun by then."""

    slot: IntArray
    fresh: Any
    sessions: IntArray

    @classmethod
    def empty(cls, n: int) -> Followed:
        """For n queries."""
        return cls(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.int64))


class ModelState:
    """Sessions, clients, profile of one model with inputs of d numbers in one shard."""

    def __init__(self, model_id: str, d: int, settings: Settings, profile: ModelProfile | None) -> None:
        self.model_id = model_id
        self.d = d
        self.settings = settings
        sketch = min(d, units.SKETCH)
        each = bytes_each(d, sketch)
        for_clients = settings.memory // CLIENT_MEMORY
        self.sessions = SessionTable((settings.memory - for_clients) // (each + PER_SESSION * BYTES))
        self.clients = ClientTable(PER_SESSION * self.sessions.bound, for_clients // each)
        self.entities = (
            Entities(self.sessions.capacity, d, sketch),
            Entities(self.clients.slot_capacity, d, sketch),
        )
        self.profile = profile
        self.inputs: Inputs = profile.inputs if profile else units.unlearned(d)
        self.sample = InputSample(d) if settings.learn and profile is None else None
        self.learner = Learner() if settings.learn else None
        self.suppressed = np.zeros(1, dtype=np.int64)
        """Evaluation points above the threshold without a message, since this was made or restored: [1]."""

    @property
    def begun(self) -> int:
        """Sessions begun so far."""
        return int(self.entities[SESSION].slots.counters[1])

    @property
    def open_episodes(self) -> int:
        """Sessions and clients that have alerted and have not calmed down."""
        return sum(int(np.count_nonzero(own.episodes.counts[:, policy.OPEN])) for own in self.entities)

    @property
    def threshold(self) -> float:
        """Evidence that raises an alert on a session; infinite while there is no profile."""
        return float(self._thresholds()[SESSION])

    def _thresholds(self) -> FloatArray:
        if self.profile is None:
            return np.full(policy.KINDS, np.inf)
        budget = self.settings.budget
        return np.array([self.profile.threshold(budget, kind) for kind in range(policy.KINDS)])

    def process(self, batch: QueryBatch) -> list[Alert]:
        """Account for a batch in order; returns the alerts it raises, in order."""
        n = len(batch)
        slot, fresh = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
        followed = Followed.empty(n)
        alerts: list[Alert] = []
        start = 0
        while start < n:
            stop = self.sessions.assign(batch.records, start, slot, fresh)
            self.entities[SESSION].grow(self.sessions.capacity)
            while start < stop:
                known = self.clients.join(self.sessions, start, stop, slot, fresh)
                self._advance(batch, start, known, slot, fresh, followed, stop, alerts)
                start = known
                if start < stop:
                    self.entities[CLIENT].release(self.clients.evict())
            if self.sessions.sweep_due:
                last_times = self.entities[SESSION].slots.scalars[:, layout.LAST_TIME]
                self._release(self.sessions.sweep(last_times, self.settings.gap))
            if start < n and self.sessions.full:
                self._release(self.sessions.evict(self.entities[SESSION].suspicion(self.threshold)))
        return alerts

    def _release(self, gone: IntArray) -> None:
        self.entities[SESSION].release(gone)
        self.clients.leave(self.sessions.owner[gone])

    def _advance(
        self,
        batch: QueryBatch,
        start: int,
        stop: int,
        slot: IntArray,
        fresh: Any,
        followed: Followed,
        assigned: int,
        alerts: list[Alert],
    ) -> None:
        """Account for queries start..stop; `assigned` were given a session, the last of which is the
        table's newest query."""
        first = self.sessions.queries - assigned
        while start < stop:
            last = stop
            most = POINTS
            if self.sample is not None:
                last = min(stop, start + SAMPLE_QUERIES - self.sample.seen)
            elif self.learner is not None:
                most = min(POINTS, self.learner.room())
            done, points = self.entities[SESSION].measure(
                batch, self.inputs, self.settings.gap, start, last, most, slot, fresh
            )
            of_clients = self._follow(batch, start, done, first, slot, fresh, followed)
            self._judge(batch, first, slot, followed, points, of_clients, alerts)
            self._learn(batch, start, done, slot, points, of_clients)
            start = done

    def _follow(
        self,
        batch: QueryBatch,
        start: int,
        stop: int,
        first: int,
        slot: IntArray,
        fresh: Any,
        followed: Followed,
    ) -> list[Points]:
        """Evaluation points of the clients at queries start..stop."""
        clients, entities = self.clients, self.entities[CLIENT]
        points: list[Points] = []
        while start < stop:
            done = follow(
                start,
                stop,
                first,
                slot,
                fresh,
                self.sessions.owner,
                clients.sessions,
                clients.entity,
                clients.seen,
                clients.free_slots,
                clients.unused,
                followed.slot,
                followed.fresh,
                followed.sessions,
            )
            points += entities.measure_all(batch, self.inputs, start, done, followed.slot, followed.fresh)
            start = done
            if start < stop:
                entities.release(clients.make_room(entities.suspicion(float(self._thresholds()[CLIENT]))))
                entities.grow(clients.slot_capacity)
        return points

    def on_points(self, batch: QueryBatch, rows: IntArray, meta: FloatArray, features: FloatArray) -> None:
        """See evaluation points [m] of sessions before they are judged: the queries of the batch that gave
        them, and what `advance` wrote of each, as views that are overwritten later. For subclasses.
        """

    def _judge(
        self,
        batch: QueryBatch,
        first: int,
        slot: IntArray,
        followed: Followed,
        points: Points,
        of_clients: list[Points],
        alerts: list[Alert],
    ) -> None:
        """Score evaluation points before anything learns from them, and act on them in order."""
        if len(points):
            self.on_points(batch, points.rows, points.meta, points.features)
        kind = np.full(len(points), SESSION)
        if of_clients:
            kind = np.concatenate([kind, np.full(sum(map(len, of_clients)), CLIENT)])
            together = join([points, *of_clients])
            order = np.lexsort((kind, together.rows))
            kind, points = kind[order], join([together], order)
        if len(points) == 0 or self.profile is None:
            return
        owner = self.sessions.owner[slot[points.rows]]
        judged = Judged(
            kind=kind,
            slots=points.slots,
            owner=owner,
            when=first + points.rows,
            times=batch.timestamps[points.rows],
            meta=points.meta,
            scores=self.profile.ensemble.score(points.features),
            series=points.series,
        )
        thresholds = self._thresholds()
        kinds = tuple(entities.episodes for entities in self.entities)
        at = 0
        while True:
            at, event = policy.judge(kinds, thresholds, self.clients.heard, judged, at, self.suppressed)
            if event == policy.NOTHING:
                return
            row, which = int(points.rows[at]), int(kind[at])
            episodes, s = kinds[which], int(points.slots[at])
            _, began, serial, queries = points.meta[at].tolist()
            record = batch.records[row]
            finding = Finding(
                kind=which,
                model_id=self.model_id,
                tenant=record.tenant_id or self.settings.tenant,
                record=record,
                queries=int(queries),
                sessions=int(followed.sessions[row]),
                entity_start=began,
                began=float(episodes.began[s]),
                episode=int(episodes.counts[s, policy.EPISODES]),
                revision=int(episodes.counts[s, policy.REVISION]),
                level=int(episodes.counts[s, policy.LEVEL]),
                evidence=float(episodes.evidence[s]),
                threshold=float(thresholds[which]),
                features=points.features[at],
                series=policy.recent_series(episodes, s),
                profile=self.profile,
            )
            alerts.append(build_alert(finding))
            if self.learner is not None:
                self.learner.alert(which, int(serial), int(self.clients.serial[owner[at]]))
            at += 1

    def _learn(
        self,
        batch: QueryBatch,
        start: int,
        done: int,
        slot: IntArray,
        points: Points,
        of_clients: list[Points],
    ) -> None:
        if self.learner is None:
            return
        if self.sample is not None:
            self.sample.add(batch.inputs[start:done])
            if self.sample.seen >= SAMPLE_QUERIES:
                self.use_units(learn_units(self.sample))
            return
        for kind, parts in ((SESSION, [points]), (CLIENT, of_clients)):
            for part in parts:
                serials = self.clients.serial[self.sessions.owner[slot[part.rows]]]
                self.learner.add(part.features, part.meta[:, 2].astype(np.int64), serials, kind)
        if self.learner.room() == 0:
            profile = self.learner.build(self.inputs, self.profile, self.begun)
            self.profile = profile or self.profile

    def use_units(self, inputs: Inputs) -> None:
        """Measure in these units from now on; what was measured in others is forgotten.

        Open sessions go on, measured anew. Raises ValueError for units of another input length: the kernels
        check no bounds.
        """
        if len(inputs.location) != self.d:
            raise ValueError(f"units of {len(inputs.location)} columns for inputs of {self.d} numbers")
        self.sample = None
        for entities in self.entities:
            entities.measure_anew()
        self.inputs = inputs
