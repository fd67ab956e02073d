"""All that a shard knows about one model: its sessions, what is measured of them, and what judges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detector import policy
from detector.alert import Alert
from detector.ecs import Finding, build_alert
from detector.features import inputs as units
from detector.features import layout
from detector.features.catalogue import NAMES
from detector.features.inputs import Inputs
from detector.features.kernel import advance, release_track
from detector.learner import SAMPLE_QUERIES, InputSample, Learner, learn_units
from detector.profile import ModelProfile
from detector.query import FloatArray, IntArray, QueryBatch
from detector.sessions import SessionTable

POINTS = 512
"""Evaluation points that are scored at one go."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says to the core. gap [s]; memory [bytes] per model and shard."""

    gap: float = 1800.0
    memory: int = 1 << 30
    budget: float = 1.0
    learn: bool = True
    tenant: str = "default"


class ModelState:
    """Sessions, features, episodes and profile of one model with inputs of d numbers in one shard."""

    def __init__(self, model_id: str, d: int, settings: Settings, profile: ModelProfile | None) -> None:
        self.model_id = model_id
        self.d = d
        self.settings = settings
        sketch = min(d, units.SKETCH)
        each = layout.bytes_per_session(d, sketch) + policy.bytes_per_session()
        self.sessions = SessionTable(settings.memory // each)
        self.slots = layout.allocate(self.sessions.capacity, d, sketch)
        self.episodes = policy.allocate(self.sessions.capacity)
        self.profile = profile
        self.inputs: Inputs = profile.inputs if profile else units.unlearned(d)
        self.sample = InputSample(d) if settings.learn and profile is None else None
        self.learner = Learner() if settings.learn else None
        self._point_row = np.zeros(POINTS, dtype=np.int64)
        self._point_meta = np.zeros((POINTS, layout.META))
        self._point_features = np.zeros((POINTS, len(NAMES)))
        self._point_series = np.zeros((POINTS, layout.RECENT, 2))

    @property
    def begun(self) -> int:
        """Sessions begun so far."""
        return int(self.slots.counters[1])

    @property
    def threshold(self) -> float:
        """Evidence that raises an alert; infinite while there is no profile."""
        return self.profile.tail.threshold(self.settings.budget) if self.profile else float("inf")

    def process(self, batch: QueryBatch) -> list[Alert]:
        """Account for a batch in order; returns the alerts it raises, in order."""
        n = len(batch)
        slot, fresh = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
        alerts: list[Alert] = []
        start = 0
        while start < n:
            stop = self.sessions.assign(batch.records, start, slot, fresh)
            if self.sessions.capacity > len(self.slots.track):
                self.slots = layout.grow(self.slots, self.sessions.capacity)
                self.episodes = policy.grow(self.episodes, self.sessions.capacity)
            self._advance(batch, start, stop, slot, fresh, alerts)
            start = stop
            if self.sessions.sweep_due:
                self._release(self.sessions.sweep(self.slots.scalars[:, layout.LAST_TIME], self.settings.gap))
            if start < n and self.sessions.full:
                self._release(self.sessions.evict(self._suspicion()))
        return alerts

    def _suspicion(self) -> Any:
        """Evidence where it is worth keeping a session for, else 0: [capacity]."""
        worth = (self.episodes.evidence > 0.25 * self.threshold) | (self.episodes.counts[:, policy.OPEN] > 0)
        return np.where(worth, self.episodes.evidence, 0.0)

    def _release(self, gone: Any) -> None:
        for s in gone:
            release_track(self.slots, s)
        self.slots.scalars[gone, layout.QUERIES] = 0.0
        self.episodes.evidence[gone] = 0.0
        self.episodes.counts[gone] = 0

    def _advance(
        self, batch: QueryBatch, start: int, stop: int, slot: Any, fresh: Any, alerts: list[Alert]
    ) -> None:
        while start < stop:
            last = stop
            most = POINTS
            if self.sample is not None:
                last = min(stop, start + SAMPLE_QUERIES - self.sample.seen)
            elif self.learner is not None:
                most = min(POINTS, self.learner.room())
            done, m = advance(
                self.slots,
                self.inputs,
                self.settings.gap,
                start,
                last,
                most,
                slot,
                fresh,
                batch.inputs,
                batch.inputs.view(np.int64),
                batch.probabilities,
                batch.confidence,
                batch.margin,
                batch.labels,
                batch.timestamps,
                self._point_row,
                self._point_meta,
                self._point_features,
                self._point_series,
            )
            self._judge(batch, slot, m, alerts)
            self._learn(batch, start, done, m)
            start = done

    def on_points(self, batch: QueryBatch, rows: IntArray, meta: FloatArray, features: FloatArray) -> None:
        """See evaluation points [m] before they are judged: the queries of the batch that gave them, and
        what `advance` wrote of each, as views that are overwritten later. For subclasses.
        """

    def _judge(self, batch: QueryBatch, slot: Any, m: int, alerts: list[Alert]) -> None:
        """Score the first m evaluation points before anything learns from them, and act on them."""
        if m == 0:
            return
        rows = self._point_row[:m]
        features = self._point_features[:m]
        self.on_points(batch, rows, self._point_meta[:m], features)
        scores = self.profile.ensemble.score(features) if self.profile else np.full(m, np.nan)
        threshold = self.threshold
        slots, times = slot[rows], batch.timestamps[rows]
        at = 0
        while True:
            at, event = policy.judge(
                self.episodes,
                threshold,
                slots,
                times,
                self._point_meta[:m],
                scores,
                self._point_series[:m],
                at,
            )
            if event == policy.NOTHING or self.profile is None:
                return
            s = int(slots[at])
            _, began, serial, queries = self._point_meta[at].tolist()
            record = batch.records[int(rows[at])]
            finding = Finding(
                model_id=self.model_id,
                tenant=record.tenant_id or self.settings.tenant,
                record=record,
                queries=int(queries),
                session_start=began,
                began=float(self.episodes.began[s]),
                episode=int(self.episodes.counts[s, policy.EPISODES]),
                revision=int(self.episodes.counts[s, policy.REVISION]),
                level=int(self.episodes.counts[s, policy.LEVEL]),
                evidence=float(self.episodes.evidence[s]),
                threshold=threshold,
                features=features[at],
                series=policy.recent_series(self.episodes, s),
                profile=self.profile,
            )
            alerts.append(build_alert(finding))
            if self.learner is not None:
                self.learner.alerted.add(int(serial))
            at += 1

    def _learn(self, batch: QueryBatch, start: int, done: int, m: int) -> None:
        if self.learner is None:
            return
        if self.sample is not None:
            self.sample.add(batch.inputs[start:done])
            if self.sample.seen >= SAMPLE_QUERIES:
                self.use_units(learn_units(self.sample))
            return
        self.learner.add(self._point_features[:m], self._point_meta[:m, 2].astype(np.int64))
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
        self.slots.scalars[self.slots.scalars[:, layout.QUERIES] > 0, layout.RESTART] = 1.0
        self.inputs = inputs
