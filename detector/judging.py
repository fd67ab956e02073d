"""Who judges a model's evaluation points, by which thresholds, and the alerts that this raises."""

from __future__ import annotations

import numpy as np

from detector import hindsight, policy, prior
from detector.alert import Alert
from detector.beginning import Beginning, Sent
from detector.columns import QueryBatch
from detector.ecs import build_alert
from detector.features import inputs as units
from detector.features.inputs import Inputs
from detector.finding import Campaign
from detector.hindsight import Past
from detector.input_sample import AGAIN, KEPT_NUMBERS, SAMPLE_QUERIES, InputSample
from detector.learner import Learner
from detector.messages import Case
from detector.points import Points, Work, in_order
from detector.policy import CAMPAIGN, SESSION, Judged
from detector.profile import ModelProfile
from detector.query import FloatArray
from detector.settings import Settings
from detector.tables import Tables


class Judging(Tables):
    """The tables of one model with inputs of d numbers, and what judges them: `profile`, which `learner`
    makes. While there is none, `sample` is what the units are learned from, `beginning` and `past` hold what
    has gone by, to be judged later, and `sent` what was told before that."""

    def __init__(
        self, model_id: str, d: int, settings: Settings, profile: ModelProfile | None, memory: int
    ) -> None:
        super().__init__(d, memory)
        self.model_id = model_id
        self.settings = settings
        self.profile = profile
        self.inputs: Inputs = profile.inputs if profile else units.unlearned(d)
        self.learner = Learner() if settings.learn else None
        self.sample: InputSample | None = None
        self.past: Past | None = None
        self.beginning: Beginning | None = None
        if settings.learn and profile is None:
            self.sample = InputSample(d, KEPT_NUMBERS)
            self.past = Past(model_id)
            until = AGAIN if settings.prior else SAMPLE_QUERIES
            if until * d <= KEPT_NUMBERS:
                self.beginning = Beginning(model_id, until, KEPT_NUMBERS)
        self.sent: Sent | None = Sent() if self.beginning is not None else None
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
        points_judged = Judged(
            kind=kind,
            slots=points.slots,
            owner=owner,
            when=first + points.rows,
            times=batch.timestamps[points.rows],
            meta=points.meta,
            features=points.features,
            scores=judge.scores(kind, points.features, points.so_far),
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
            record = case.record(m)
            if self.settings.declared.issuperset(campaign.clients if campaign else [record.client_id]):
                self.suppressed[0] += 1
                continue
            if self.sent is not None and self.beginning is None:
                known, told = self.sent.before(which, record, first=case.is_first(m))
                if told is not None:
                    case.go_on(m, told)
                elif known:
                    case.silence(m)
                if known:
                    continue
            finding = case.finding(m, campaign, self.sent.raised if self.sent is not None else None)
            alerts.append(build_alert(finding))
            if self.sent is not None and self.beginning is not None:
                self.sent.tell(finding)

    def _campaign(self, slot: int, judged: Judged, row: int) -> Campaign:
        """The campaign of that slot as it was at the query in `row`: what came later counts later."""
        members = self.campaigns.members(slot)
        later = judged.sender[row + 1 :][judged.campaign[row + 1 :] == slot]
        sent = members.sent - np.bincount(later, minlength=self.clients.used)[members.clients]
        return Campaign(
            self.clients.names(members.clients, sent), members.sessions, members.founded, members.mark
        )
