"""One deployment measured: a profile fitted on its history, then cases of its attacks replayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np

from benchmarks.detection.cache import ALL, Cache
from benchmarks.detection.judge import Outcome, judge
from benchmarks.detection.workload import Plan, Workload
from benchmarks.traces import log
from benchmarks.traces.recording import Recording
from benchmarks.traces.variants import PLAIN, Variant
from detector.config import Config
from detector.edge import settings_of
from detector.fitting import Measuring, Sampling
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.query import Record

BATCH = 4096


@dataclass(frozen=True)
class Case:
    """One row of a table: how attackers hide, what the log tells, how many benign sessions surround them
    (at most all there are), and whether each attack runs against every model with every budget, or against
    the models in turn with budgets in turn."""

    name: str
    variant: Variant = PLAIN
    outputs: log.Outputs = "probabilities"
    background: int = 1_000_000
    every: bool = True


class Deployed:
    """The deployment of a plan, with the profiles that its history gave."""

    def __init__(self, plan: Plan, cache: Cache) -> None:
        self.plan, self.cache = plan, cache
        self.workload = Workload(plan, cache)
        self._profiles: dict[log.Outputs, dict[str, ModelProfile]] = {}

    def outcome(self, case: Case) -> Outcome:
        """The case measured, or read from the cache."""
        key: dict[str, object] = {"plan": asdict(self.plan), "case": asdict(case)}
        return self.cache.get(key, ALL, Outcome, lambda: self._measure(case))

    def sessions(self, case: Case) -> tuple[list[log.Session], list[list[log.Session]]]:
        """Benign sessions of the trace, and the sessions of each attack."""
        benign = self.workload.traffic[1]
        chosen = np.linspace(0, len(benign) - 1, min(case.background, len(benign))).astype(np.int64)
        attacks = self.workload.attacks(case.name, case.variant, self._recordings(case))
        return [benign[i] for i in chosen.tolist()], attacks

    def _recordings(self, case: Case) -> Sequence[Recording]:
        recordings = self.workload.recordings
        if case.every:
            return recordings
        each = len(self.plan.models) * len(self.plan.budgets)
        return [recordings[i * each + i % each] for i in range(len(self.plan.attacks))]

    def _measure(self, case: Case) -> Outcome:
        profiles = self._fitted(case.outputs)
        benign, attacks = self.sessions(case)
        shard = Shard(settings_of(Config(), learn=False), profiles)
        trace = benign + [session for sessions in attacks for session in sessions]
        alerts = [
            alert.document
            for records in self._batches(trace, case.outputs)
            for alert in shard.process(records).alerts
        ]
        return judge(alerts, benign, attacks)

    def _fitted(self, outputs: log.Outputs) -> dict[str, ModelProfile]:
        if outputs not in self._profiles:
            history, sampling = self.workload.traffic[0], Sampling()
            for records in self._batches(history, outputs):
                sampling.observe(records)
            measuring = Measuring(settings_of(Config(), learn=False), sampling.units())
            for records in self._batches(history, outputs):
                measuring.observe(records)
            profiles, missing = measuring.profiles()
            if missing:
                raise ValueError(f"too little history for {', '.join(missing)}")
            self._profiles[outputs] = profiles
        return self._profiles[outputs]

    def _batches(self, sessions: list[log.Session], outputs: log.Outputs) -> Iterator[list[Record]]:
        records = log.read_back(sessions, outputs, self.workload.units)
        while batch := list(islice(records, BATCH)):
            yield batch
