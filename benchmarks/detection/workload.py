"""What one deployment is measured on: honest traffic, and attacks that are recorded once for all variants."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.detection.cache import TRACES, Cache, Stored
from benchmarks.traces import log
from benchmarks.traces.dealing import deal
from benchmarks.traces.deployment import Deployment
from benchmarks.traces.identities import Directory, Identity
from benchmarks.traces.program import Program
from benchmarks.traces.recording import Recording, record
from benchmarks.traces.schedule import DAY, Period
from benchmarks.traces.variants import Variant

HISTORY_DAYS, TRACE_DAYS = 14.0, 4.0
NATURAL = 0.5
"""Share of attackers that write rows as the data's own source does, of those that teach and are measured."""


@dataclass(frozen=True)
class Plan:
    """seed; data sets; benign sessions that teach and that report; attacks, each with every budget
    [queries] on every model; whether all columns are logged in other units; the share of attackers that write
    rows as the data's own source does."""

    seed: int
    models: tuple[str, ...]
    history_sessions: int
    benign_sessions: int
    attacks: tuple[str, ...]
    budgets: tuple[int, ...]
    rescale: bool = False
    natural: float = NATURAL


@dataclass
class Workload:
    """A plan carried out, as far as it is asked for."""

    plan: Plan
    cache: Cache = field(default_factory=lambda: Cache(None))

    @cached_property
    def deployment(self) -> Deployment:
        """Trained targets and their clients."""
        with threadpool_limits(1):  # results of parallel sums may differ in the last digit
            return Deployment(self.plan.seed, self.plan.models)

    @cached_property
    def traffic(self) -> tuple[list[log.Session], list[log.Session]]:
        """Benign sessions that teach, and benign sessions that report."""
        first = self.deployment.first_day
        with threadpool_limits(1):
            history = self.deployment.benign(self.plan.history_sessions, Period(first, HISTORY_DAYS))
            return history, self.deployment.benign(self.plan.benign_sessions, self.period)

    @cached_property
    def explainers(self) -> list[log.Session]:
        """Sessions of explainers that nobody has told of: one for every twenty that report."""
        _ = self.traffic  # first, since the same generator draws both
        with threadpool_limits(1):
            return self.deployment.explainers(max(1, self.plan.benign_sessions // 20), self.period)

    @property
    def period(self) -> Period:
        """When the sessions of the trace begin."""
        return Period(self.deployment.first_day + (HISTORY_DAYS + 1) * DAY, TRACE_DAYS)

    @cached_property
    def recordings(self) -> list[Recording]:
        """Every attack of the plan against every model with every budget."""
        plan = self.plan
        return [
            self._recording(name, model, budget)
            for name in plan.attacks
            for model in range(len(plan.models))
            for budget in plan.budgets
        ]

    def _recording(self, name: str, model: int, budget: int) -> Recording:
        plan = self.plan
        which = [zlib.crc32(name.encode()), model, budget]
        rng = np.random.default_rng([plan.seed, 3, *which])
        natural = bool(np.random.default_rng([plan.seed, 6, *which]).random() < plan.natural)
        program = Program.drawn(np.random.default_rng([plan.seed, 9, *which]), natural)

        def make() -> Stored:
            with threadpool_limits(1):
                digits = int(rng.choice([6, 7, 9]))
                target = self.deployment.targets[model]
                return Stored.of(record(target, name, budget, digits, rng, program))

        key: dict[str, object] = {
            "seed": plan.seed,
            "model": plan.models[model],
            "attack": name,
            "budget": budget,
            "program": program,
        }
        return self.cache.get(key, TRACES, Stored, make).recording()

    @cached_property
    def units(self) -> dict[str, log.Units] | None:
        """The units that each model's columns are logged in, if they are rescaled."""
        if not self.plan.rescale:
            return None
        rng = np.random.default_rng([self.plan.seed, 2])
        return {t.model_id: log.Units.draw(rng, t.dataset.columns) for t in self.deployment.targets}

    @property
    def past(self) -> Period:
        """When the sessions of the history begin."""
        return Period(self.deployment.first_day, HISTORY_DAYS)

    @property
    def whole_period(self) -> Period:
        """When the sessions of the history or of the trace begin."""
        return Period(self.deployment.first_day, HISTORY_DAYS + 1 + TRACE_DAYS)

    def attacks(
        self, name: str, variant: Variant, chosen: Sequence[Recording], period: Period | None = None
    ) -> list[list[log.Session]]:
        """The sessions of each recording in the variant called `name`, begun in that period (None: that of
        the trace). Attackers are new clients, or have an honest client's key, as often as honest sessions
        come from new clients."""
        rng = np.random.default_rng([self.plan.seed, 4, zlib.crc32(name.encode())])
        directory = Directory(rng)
        known = {(s.model_id, s.client_id): s for s in self.traffic[1]}
        for (model_id, client_id), session in known.items():
            directory.meet(model_id, Identity(client_id, session.source_ip, session.user_agent, 7))
        targets = {target.model_id: target for target in self.deployment.targets}
        with threadpool_limits(1):
            return [
                deal(
                    recording,
                    variant,
                    targets[recording.model_id],
                    directory.pick(recording.model_id),
                    directory,
                    rng,
                    period or self.period,
                )
                for recording in chosen
            ]
