"""All that a shard knows about one model: its entities, what is measured of them, and what judges them."""

from __future__ import annotations

import numpy as np

from detector.alert import Alert
from detector.beginning import Beginning
from detector.columns import QueryBatch
from detector.ecs import build_alert
from detector.features import inputs as units
from detector.features.inputs import Inputs
from detector.finding import Raised
from detector.following import follow_clients
from detector.habits import NOBODY
from detector.hindsight import Past
from detector.input_sample import InputSample
from detector.judging import Judging
from detector.points import POINTS, Points, Work
from detector.policy import CAMPAIGN, CLIENT, ODD, SESSION
from detector.profile import ModelProfile
from detector.query import FloatArray, IntArray
from detector.rows import Rows
from detector.settings import Settings


class ModelState(Judging):
    """Sessions, clients, campaigns and profile of one model with inputs of d numbers in one shard."""

    def __init__(
        self,
        model_id: str,
        d: int,
        settings: Settings,
        profile: ModelProfile | None,
        memory: int | None = None,
        number: int = 0,
    ) -> None:
        """`memory` [bytes] is its share of the shard's, all of it by default; `number` tells it from those
        that the shard had of this model before."""
        super().__init__(model_id, d, settings, profile, settings.memory if memory is None else memory)
        self.number = number

    def process(self, batch: QueryBatch) -> list[Alert]:
        """Account for a batch in order; returns the alerts it raises, in order."""
        alerts: list[Alert] = []
        if self.beginning is not None and self.sample is not None:
            first = batch.part(0, self.beginning.room)
            sample, kept = self.sample, self.beginning
            alerts += self._account(first)
            if not kept.add(first):
                self.beginning = self.sent = None
            elif kept.room == 0:
                self.beginning = None
                alerts += self._begin_anew(kept, sample)
            batch = batch.part(len(first), len(batch))
        return alerts + self._account(batch) if len(batch) else alerts

    def _begin_anew(self, kept: Beginning, sample: InputSample) -> list[Alert]:
        """Account for the first queries once more, in the units that were learned from them."""
        sent = self.sent
        if self.profile is not None or self.learner is None or sent is None:
            return []
        self.start_over()
        self.learner.forget_alerts()
        sent.begin(kept.last())
        alerts = self._account(kept.batch(sample.rows))
        self.learner.clients_alerted.update(self.clients.serials_of(sent.clients).tolist())
        sent.end()
        return alerts

    def _account(self, batch: QueryBatch) -> list[Alert]:
        n = len(batch)
        work = Work.empty(n)
        alerts: list[Alert] = []
        known_habits = self.profile.habits if self.profile is not None else NOBODY
        start = 0
        while start < n:
            stop = self.sessions.assign(batch.records, start, work.slot, work.fresh)
            first = self.sessions.queries - stop
            self.entities[SESSION].grow(self.sessions.capacity)
            self.odd.know(self.sessions.capacity)
            while start < stop:
                known = self.clients.join(
                    self.sessions.owner, batch.records, start, stop, work.slot, work.fresh, known_habits
                )
                self.campaigns.know(self.clients.capacity)
                work.owner[start:known] = self.sessions.owner[work.slot[start:known]]
                self._advance(batch, start, known, first, work, alerts)
                start = known
                if start < stop:
                    gone, slots = self.clients.evict()
                    self.entities[CLIENT].release(slots)
                    self.campaigns.forget(gone)
            if self.sessions.sweep_due:
                gone = self.sessions.sweep(self.entities[SESSION].last_times, self.settings.gap)
                self._release(gone)
                self.campaigns.sweep(self.sessions.queries)
            if start < n and self.sessions.full:
                self._release(self.sessions.evict(self.entities[SESSION].suspicion(self.threshold)))
        return alerts

    def _release(self, gone: IntArray) -> None:
        self.entities[SESSION].release(gone)
        self.odd.leave(gone)
        self.clients.leave(self.sessions.owner[gone])

    def _advance(
        self, batch: QueryBatch, start: int, stop: int, first: int, work: Work, alerts: list[Alert]
    ) -> None:
        """Account for queries start..stop; `first` is the number of query 0 of the batch."""
        while start < stop:
            last = stop
            most = POINTS
            if self.sample is not None:
                last = min(stop, start + self.sample.room())
            if self.learner is not None and self.measured:
                most = min(POINTS, self.learner.room())
            done, points = self.entities[SESSION].measure(
                batch, self.inputs, self.settings.gap, start, last, most, work.slot, work.fresh, work.odd
            )
            if len(points):
                self.on_points(batch, points.rows, points.meta, points.features)
            others = self._act(batch, start, done, first, work, points, alerts)
            self._learn(batch, start, done, first, work, points, others, alerts)
            start = done

    def _act(
        self,
        batch: QueryBatch,
        start: int,
        stop: int,
        first: int,
        work: Work,
        points: Points,
        alerts: list[Alert],
    ) -> list[tuple[int, Points]]:
        """Follow clients, campaigns and odd queries through queries start..stop and judge what comes of them
        and of the sessions' points, before each query that changes who takes part in a campaign. Returns
        the points of the other kinds by kind."""
        judge = self.judge
        near = judge.near if judge is not None else float("nan")
        bar = self._thresholds()[:, 0].tolist()
        others: list[tuple[int, Points]] = []
        at = 0
        while start < stop:
            done, of_campaign, full = self.campaigns.follow(
                batch, self.inputs, near, self.settings.gap, first, start, stop, work, self.clients
            )
            of_clients = follow_clients(
                self.clients,
                self.entities[CLIENT],
                batch,
                self.inputs,
                start,
                done,
                first,
                work,
                self.settings.gap,
                bar[CLIENT],
            )
            of_odd = self.odd.follow(batch, self.inputs, start, done, first, work, bar[ODD])
            new = [*((CLIENT, part) for part in of_clients), *((ODD, part) for part in of_odd)]
            if len(of_campaign):
                new.append((CAMPAIGN, of_campaign.copy()))
            upto = at + int(np.searchsorted(points.rows[at:], done))
            self._judge(batch, first, done, work, [(SESSION, points.part(at, upto)), *new], alerts)
            others += new
            start, at = done, upto
            if full:
                self.campaigns.make_room(bar[CAMPAIGN])
        return others

    def on_points(self, batch: QueryBatch, rows: IntArray, meta: FloatArray, features: FloatArray) -> None:
        """See evaluation points [m] of sessions before they are judged: the queries of the batch that gave
        them, and what `advance` wrote of each, as views that are overwritten later. For subclasses.
        """

    def _learn(
        self,
        batch: QueryBatch,
        start: int,
        done: int,
        first: int,
        work: Work,
        points: Points,
        others: list[tuple[int, Points]],
        alerts: list[Alert],
    ) -> None:
        if self.learner is None:
            return
        if self.sample is not None:
            sample, known = self.sample, self.sample.enough
            due = sample.room() == done - start
            sample.add(batch.inputs[start:done], self.clients.serial[work.owner[start:done]])
            if due:
                self.use_units(units.learn(sample.balanced(self.learner.alerted_clients())))
                self.learner.measure_anew()
                self.past = Past(self.model_id) if self.past is not None else None
                self.sample = sample if sample.room() and self.settings.prior else None
            if due or not known:
                return
        parts = [(SESSION, points), *others]
        if self.past is not None:
            self.past.add(parts, batch, work, self.clients.serial, first)
        for kind, part in parts:
            serials = self.clients.serial[work.owner[part.rows]]
            rows = Rows(part.features, part.meta[:, 2].astype(np.int64), serials, part.so_far)
            self.learner.add(rows, kind)
        if self.learner.room() == 0:
            profile = self.learner.build(self.inputs, self.profile, self.begun, self.campaigns.distance)
            self.profile = profile or self.profile
            if self.profile is not None:
                self.sample = None
                self._look_back(batch, done - 1, self.profile, alerts)

    def _look_back(self, batch: QueryBatch, row: int, profile: ModelProfile, alerts: list[Alert]) -> None:
        """Judge what went by before there was a profile, of which the first one comes after that query."""
        past, self.past = self.past, None
        raised = self.sent.raised if self.sent is not None else None
        self.sent = None
        if past is None or self.learner is None:
            return
        again = past.again(profile, self.settings, self.learner)
        if again is not None:
            now = Raised(float(batch.timestamps[row]), int(batch.records.offsets[row]))
            alerts += map(build_alert, again.findings(raised or now))
            again.hand_over(self.entities, self.clients)

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
        self.campaigns.measure_anew()
        self.inputs = inputs
