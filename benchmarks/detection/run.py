"""One deployment measured: a profile fitted on its history, then cases of its attacks replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from benchmarks.detection.cache import CONTAMINATED, LOOKS, MEASURED, PEERS, UNPROFILED, Cache
from benchmarks.detection.compare import FalseAlarms, alert_alarms, false_alarms, found, peer_alarms
from benchmarks.detection.contaminated import Contaminated
from benchmarks.detection.judge import Found, Outcome, judge
from benchmarks.detection.looks import Look, looks
from benchmarks.detection.no_profile import Unprofiled, past_share
from benchmarks.detection.peers import Peer
from benchmarks.detection.workload import Plan, Workload
from benchmarks.traces import log
from benchmarks.traces.recording import BoolArray, Recording
from benchmarks.traces.variants import PLAIN, Variant
from detector.config import Config
from detector.edge import settings_of
from detector.fitting import Measuring, Sampling
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.query import Record

BATCH = 4096
T = TypeVar("T")


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
        return self.cache.get(key, MEASURED, Outcome, lambda: self._measure(case))

    def found(self, peer: Peer | None, case: Case) -> list[Found]:
        """The case's attacks as a peer (None: querywatch) finds them by the rule of `compare`."""

        def measure() -> list[Found]:
            benign, attacks = self.sessions(case)
            own = [session for sessions in attacks for session in sessions]
            return found(self._alarms(peer, [*benign, *own], case.outputs)[len(benign) :], attacks)

        return self._compared(peer, {"case": asdict(case)}, list[Found], measure)

    def false_alarms(self, peer: Peer | None) -> FalseAlarms:
        """What a peer (None: querywatch) raises on all benign sessions, with no attack among them."""

        def measure() -> FalseAlarms:
            benign = self.workload.traffic[1]
            alarms = self._alarms(peer, benign, "probabilities")
            return false_alarms(alarms, self.workload.deployment.targets, benign)

        return self._compared(peer, {"false alarms": True}, FalseAlarms, measure)

    def unprofiled(self, clean: bool) -> Unprofiled:
        """All benign sessions and every attack in one pass without a profile; the models take turns. Attacks
        begin at any time, or, with a `clean` start, when those sessions are over that elsewhere teach."""
        key: dict[str, object] = {"plan": asdict(self.plan), "no profile": True, "clean": clean}

        def measure() -> Unprofiled:
            work, case = self.workload, Case("no profile", every=False)
            benign = [*work.traffic[0], *work.traffic[1]]
            period = work.period if clean else work.whole_period
            attacks = work.attacks(case.name, case.variant, self._recordings(case), period)
            own = [session for sessions in attacks for session in sessions]
            shard = Shard(settings_of(Config(), learn=True), {})
            alerts, first = [], {s.model_id: 1.0 for s in benign}
            for records in self._batches([*benign, *own], case.outputs):
                alerts += [alert.document for alert in shard.process(records).alerts]
                for name, state in shard.models.items():
                    if state.profile is not None and first[name] == 1.0:
                        first[name] = past_share([*benign, *own], name, records[-1].timestamp)
            begun = [past_share([*benign, *own], s[0].model_id, min(x.times[0] for x in s)) for s in attacks]
            ours = sum(len(s.times) for s in own)
            share = ours / (ours + sum(len(s.times) for s in benign))
            return Unprofiled(judge(alerts, benign, attacks), begun, first, share)

        return self.cache.get(key, (*MEASURED, *UNPROFILED), Unprofiled, measure)

    def contaminated(self, share: float) -> Contaminated:
        """Every other recorded attack among all benign sessions, with profiles from a history of which
        `share` are sessions of the attacks between them."""
        key: dict[str, object] = {"plan": asdict(self.plan), "contamination": share}

        def measure() -> Contaminated:
            work, recordings = self.workload, self.workload.recordings
            history, benign = work.traffic
            count = round(share / (1.0 - share) * len(history))
            poison = [recordings[i % (len(recordings) // 2) * 2 + 1] for i in range(count)]
            past = [s for one in work.attacks("history", PLAIN, poison, work.past) for s in one]
            profiles = self._fit([*history, *past], "probabilities")
            attacks = work.attacks("plain", PLAIN, recordings[::2])
            own = [session for sessions in attacks for session in sessions]
            outcome = judge(self._alerts([*benign, *own], "probabilities", profiles), benign, attacks)
            return Contaminated(share, outcome, len(past), sum(p.suspects for p in profiles.values()))

        return self.cache.get(key, (*MEASURED, *CONTAMINATED), Contaminated, measure)

    def explained(self) -> list[tuple[str, str]]:
        """Undeclared explainers among all benign sessions: the kind of each, and the technique that its first
        alert named, if there was one."""
        key: dict[str, object] = {"plan": asdict(self.plan), "explainers": True}

        def measure() -> list[tuple[str, str]]:
            ours = self.workload.explainers
            named: dict[tuple[str, str], str] = {}
            for alert in self._alerts([*self.workload.traffic[1], *ours], "probabilities"):
                prefix = alert["querywatch"]["trigger"]["request_id"].partition("-")[0]
                technique = alert["querywatch"]["technique"]["name"]
                named.setdefault((alert["service"]["name"], prefix), technique)
            return [(s.kind, named.get((s.model_id, s.request_prefix), "")) for s in ours]

        return self.cache.get(key, MEASURED, list[tuple[str, str]], measure)

    def looks(self, case: Case) -> list[Look]:
        """How the case's attacks look: one of each kind."""
        key: dict[str, object] = {"plan": asdict(self.plan), "case": asdict(case), "looks": True}

        def measure() -> list[Look]:
            benign, attacks = self.sessions(case)
            own = [session for sessions in attacks for session in sessions]
            alerts = self._alerts([*benign, *own], case.outputs)
            results = found(alert_alarms(alerts, [*benign, *own])[len(benign) :], attacks)
            return looks(self.workload.deployment.targets, benign, attacks, results, alerts)

        return self.cache.get(key, (*MEASURED, *LOOKS), list[Look], measure)

    def _compared(
        self, peer: Peer | None, what: dict[str, object], kind: type[T], make: Callable[[], T]
    ) -> T:
        key = {"plan": asdict(self.plan), "peer": peer.name if peer else "", **what}
        return self.cache.get(key, PEERS if peer else (*MEASURED, *PEERS), kind, make)

    def _alarms(
        self, peer: Peer | None, sessions: list[log.Session], outputs: log.Outputs
    ) -> list[BoolArray]:
        if peer is None:
            return alert_alarms(self._alerts(sessions, outputs), sessions)
        work = self.workload
        return peer_alarms(peer, work.deployment.targets, work.traffic[0], sessions)

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
        benign, attacks = self.sessions(case)
        trace = benign + [session for sessions in attacks for session in sessions]
        return judge(self._alerts(trace, case.outputs), benign, attacks)

    def _alerts(
        self,
        sessions: list[log.Session],
        outputs: log.Outputs,
        profiles: dict[str, ModelProfile] | None = None,
    ) -> list[dict[str, Any]]:
        shard = Shard(settings_of(Config(), learn=False), profiles or self._fitted(outputs))
        return [
            alert.document
            for records in self._batches(sessions, outputs)
            for alert in shard.process(records).alerts
        ]

    def _fitted(self, outputs: log.Outputs) -> dict[str, ModelProfile]:
        if outputs not in self._profiles:
            self._profiles[outputs] = self._fit(self.workload.traffic[0], outputs)
        return self._profiles[outputs]

    def _fit(self, history: list[log.Session], outputs: log.Outputs) -> dict[str, ModelProfile]:
        sampling = Sampling()
        for records in self._batches(history, outputs):
            sampling.observe(records)
        measuring = Measuring(settings_of(Config(), learn=False), sampling.units())
        for records in self._batches(history, outputs):
            measuring.observe(records)
        profiles, missing = measuring.profiles()
        if missing:
            raise ValueError(f"too little history for {', '.join(missing)}")
        return profiles

    def _batches(self, sessions: list[log.Session], outputs: log.Outputs) -> Iterator[list[Record]]:
        records = log.read_back(sessions, outputs, self.workload.units)
        while batch := list(islice(records, BATCH)):
            yield batch
