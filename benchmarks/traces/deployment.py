"""One deployment from one seed: its trained targets, its clients, and the sessions that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmarks.traces import benign, log, schedule
from benchmarks.traces.attacks import ATTACKS, Attacker, carry_out
from benchmarks.traces.identities import Directory, Identity
from benchmarks.traces.recorder import Recorder, significant
from benchmarks.traces.targets import Target, train
from detector.query import FloatArray

FIRST_DAY = 1_704_067_200.0
"""2024-01-01T00:00:00Z; the seed moves it by up to a year. Records from the future are dead letters."""


@dataclasses.dataclass(frozen=True)
class Period:
    """Sessions begin within `days` days from `first_day` (epoch seconds)."""

    first_day: float
    days: float


class Deployment:
    """Everything random comes from `seed`, in a fixed order."""

    def __init__(self, seed: int, models: Sequence[str]) -> None:
        self.rng = np.random.default_rng(seed)
        self.targets: list[Target] = [train(name, seed) for name in models]
        self.first_day = FIRST_DAY + schedule.DAY * int(self.rng.integers(0, 365))
        self._directory = Directory(np.random.default_rng([seed, 1]))

    def benign(self, count: int, period: Period) -> list[log.Session]:
        """`count` honest sessions: kinds by their shares, models in turn."""
        names = list(benign.KINDS)
        shares = np.array([kind.share for kind in benign.KINDS.values()])
        chosen = self.rng.choice(len(names), count, p=shares / shares.sum())
        made: list[log.Session] = []
        for first, target in enumerate(self.targets):
            mine = range(first, count, len(self.targets))
            sessions = [self._honest(target, names[chosen[i]], period) for i in mine]
            if sessions:
                # The model answers row by row; one call for all sessions is only faster.
                answers = target.predict(np.vstack([s.inputs for s in sessions]))
                parts = np.split(answers, np.cumsum([len(s.inputs) for s in sessions])[:-1])
                made += [dataclasses.replace(s, answers=a) for s, a in zip(sessions, parts, strict=True)]
        return made

    def attack(self, target: Target, name: str, budget: int, dilution: float, period: Period) -> log.Session:
        """One attack of at most `budget` queries, cut there; `dilution` is the share of ordinary ones."""
        who = self._directory.pick(target.model_id)
        recorder = Recorder(target, budget, who.digits)
        carry_out(name, Attacker(recorder, np.random.default_rng(self.rng.integers(2**63)), budget))
        inputs, answers, calls = recorder.inputs, recorder.answers, recorder.calls
        own = len(inputs)
        if dilution > 0.0:
            inputs, answers = self._diluted(target, inputs, answers, dilution)
            calls = [1] * len(inputs)
        pace = str(self.rng.choice(schedule.ATTACK_PACES))
        session = self._session(target, name, ATTACKS[name].family, who, inputs, calls, pace, period)
        return dataclasses.replace(session, answers=answers, attack_queries=own)

    def _honest(self, target: Target, name: str, period: Period) -> log.Session:
        rng, kind = self.rng, benign.KINDS[name]
        who = self._directory.pick(target.model_id)
        mix = rng.dirichlet(np.full(target.dataset.classes, rng.choice([0.5, 1.0, 5.0])))
        drawn = kind.draw(benign.Client(target.population, rng, mix), kind.length(rng))
        inputs = significant(drawn, who.digits)
        calls = schedule.bulk_calls(rng, len(inputs))
        return self._session(target, name, "benign", who, inputs, calls, str(rng.choice(kind.paces)), period)

    def _session(
        self,
        target: Target,
        kind: str,
        family: str,
        who: Identity,
        inputs: FloatArray,
        calls: list[int],
        pace: str,
        period: Period,
    ) -> log.Session:
        start = schedule.start_time(self.rng, period.first_day, period.days, pace != "person")
        times = start + schedule.arrivals(self.rng, schedule.PACES[pace], calls)
        return log.Session(
            session_id=self._directory.token(8),
            client_id=who.client_id,
            model_id=target.model_id,
            kind=kind,
            family=family,
            source_ip=who.source_ip,
            user_agent=who.user_agent,
            request_prefix=self._directory.token(4),
            inputs=inputs,
            answers=np.empty((0, target.dataset.classes)),
            times=np.round(times, 4),
        )

    def _diluted(
        self, target: Target, inputs: FloatArray, answers: FloatArray, share: float
    ) -> tuple[FloatArray, FloatArray]:
        extra = round(len(inputs) * share / (1.0 - share))
        rows = target.population.draw(self.rng, extra)
        position = np.sort(self.rng.integers(0, len(inputs) + 1, extra))
        return np.insert(inputs, position, rows, axis=0), np.insert(
            answers, position, target.predict(rows), axis=0
        )
