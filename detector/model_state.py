"""All that a shard knows about one model: its entities, what is measured of them, and what judges them."""

from __future__ import annotations

import numpy as np

from detector import hindsight, policy, prior
from detector.alert import Alert
from detector.columns import QueryBatch
from detector.ecs import build_alert
from detector.features import inputs as units
from detector.features.inputs import Inputs
from detector.finding import Campaign, Raised
from detector.following import follow_clients
from detector.habits import NOBODY
from detector.hindsight import Past
from detector.learner import KEPT_NUMBERS, InputSample, Learner
from detector.messages import Case
from detector.points import POINTS, Points, Work, in_order
from detector.policy import CAMPAIGN, CLIENT, ODD, SESSION, Judged
from detector.profile import ModelProfile
from detector.query import FloatArray, IntArray
from detector.rows import Rows
from detector.settings import Settings
from detector.tables import Tables


class ModelState(Tables):
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
        super().__init__(d, settings.memory if memory is None else memory)
        self.model_id = model_id
        self.number = number
        self.settings = settings
        self.profile = profile
        self.inputs: Inputs = profile.inputs if profile else units.unlearned(d)
        self.sample = InputSample(d, KEPT_NUMBERS) if settings.learn and profile is None else None
        self.learner = Learner() if settings.learn else None
        self.past = Past(model_id) if settings.learn and profile is None else None
        self._bars: tuple[ModelProfile, float, FloatArray] | None = None
        """Who judges, the budget, and the thresholds for it: they are asked for at every batch."""
        self.suppressed = np.zeros(1, dtype=np.int64)
        """Evaluation points above the threshold without a message, since this was made or restored: [1]."""

    @property
    def judge(self) -> ModelProfile | None:
        """What judges: the profile; while there is none, the prior from when its units are learned."""
        if self.profile is None and self.learner is not None and self.measured and self.settings.prior:
            return prior.judge(self.inputs)
        return self.profile

    @property
    def measured(self) -> bool:
        """Whether the units of the inputs are known."""
        return self.sample is None or self.sample.enough

    @property
    def threshold(self) -> float:
        """Evidence that raises an alert on a short session; infinite while nothing judges."""
        return float(self._thresholds()[SESSION, 0])

    def _thresholds(self) -> FloatArray:
        judge = self.judge
        budget = self.settings.budget * (1.0 if self.past is None else hindsight.SHARE)
        if judge is None:
            return np.full((policy.KINDS, 2), np.inf)
        if self._bars is None or self._bars[0] is not judge or self._bars[1] != budget:
            self._bars = (judge, budget, judge.thresholds(budget))
        return self._bars[2]

    def process(self, batch: QueryBatch) -> list[Alert]:
        """Account for a batch in order; returns the alerts it raises, in order."""
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

    def _judge(
        self,
        batch: QueryBatch,
        first: int,
        done: int,
        work: Work,
        parts: list[tuple[int, Points]],
        alerts: list[Alert],
    ) -> None:
        """Score evaluation points before anything learns from them, and act on them in order.

        Queries up to `done` have been accounted for; query 0 has the number `first`.
        """
        kind, points = in_order(parts)
        judge = self.judge
        if len(points) == 0 or judge is None:
            return
        owner = work.owner[points.rows]
        scores = judge.ensemble.score(points.features, points.so_far)
        scores[kind == ODD] -= judge.odd_level
        points_judged = Judged(
            kind=kind,
            slots=points.slots,
            owner=owner,
            when=first + points.rows,
            times=batch.timestamps[points.rows],
            meta=points.meta,
            features=points.features,
            scores=scores,
            series=points.series,
            campaign=work.campaign[:done],
            sender=work.owner[:done],
            first=first,
        )
        for entities, count in zip(self.entities, np.bincount(kind, minlength=policy.KINDS), strict=True):
            entities.reserve(points=int(count))
        case = Case(
            self.model_id,
            self.settings,
            judge,
            self._thresholds(),
            tuple(entities.episodes for entities in self.entities),
            self.clients.heard,
            self.clients.habits,
            self.campaigns.links,
            self.suppressed,
            points_judged,
            work.sessions[points.rows],
            lambda m: batch.records[int(points.rows[m])],
        )
        for m in case.messages():
            which, row = int(kind[m]), int(points.rows[m])
            if self.learner is not None:
                self.learner.alert(which, case.serial(m), int(self.clients.serial[owner[m]]))
            campaign = self._campaign(int(points.slots[m]), points_judged, row) if which == CAMPAIGN else None
            if self.settings.declared.issuperset(
                campaign.clients if campaign else [batch.records[row].client_id]
            ):
                self.suppressed[0] += 1
                continue
            alerts.append(build_alert(case.finding(m, campaign)))

    def _campaign(self, slot: int, judged: Judged, row: int) -> Campaign:
        """The campaign of that slot as it was at the query in `row`: what came later counts later."""
        members = self.campaigns.members(slot)
        later = judged.sender[row + 1 :][judged.campaign[row + 1 :] == slot]
        sent = members.sent - np.bincount(later, minlength=self.clients.used)[members.clients]
        return Campaign(
            self.clients.names(members.clients, sent), members.sessions, members.founded, members.mark
        )

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
        if past is None or self.learner is None:
            return
        again = past.again(profile, self.settings, self.learner)
        if again is not None:
            now = Raised(float(batch.timestamps[row]), int(batch.records.offsets[row]))
            alerts += map(build_alert, again.findings(now))
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
