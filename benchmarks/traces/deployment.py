"""One deployment from one seed: its trained targets, its clients, and the sessions that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.traces import benign, explainers, log, schedule
from benchmarks.traces.benign import Client, Kind
from benchmarks.traces.crowd import Crowd
from benchmarks.traces.dealing import deal
from benchmarks.traces.identities import Directory, Identity
from benchmarks.traces.program import OWN_NUMBERS, Program
from benchmarks.traces.recorder import significant
from benchmarks.traces.recording import record
from benchmarks.traces.schedule import Period
from benchmarks.traces.targets import Target, train
from benchmarks.traces.variants import Variant
from benchmarks.traces.wording import clients as writing

FIRST_DAY = 1_704_067_200.0
"""2024-01-01T00:00:00Z; the seed moves it by up to a year. Records from the future are dead letters."""


class Deployment:
    """Everything random comes from `seed`, in a fixed order. `varied`: each model's clients are a crowd of
    its own; if not, they are mixed as stated."""

    def __init__(self, seed: int, models: Sequence[str], varied: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.targets: list[Target] = [train(name, seed) for name in models]
        self.first_day = FIRST_DAY + schedule.DAY * int(self.rng.integers(0, 365))
        self._directory = Directory(np.random.default_rng([seed, 1]))
        rng = np.random.default_rng([seed, 7])
        self._kinds = [_kinds(target, benign.KINDS, writing.KINDS) for target in self.targets]
        self._crowds = [Crowd.drawn(kinds, rng) if varied else Crowd.stated(kinds) for kinds in self._kinds]

    def benign(self, count: int, period: Period) -> list[log.Session]:
        """`count` honest sessions: kinds by their shares, models in turn."""
        return self._sessions(self._kinds, self._crowds, count, period)

    def explainers(self, count: int, period: Period) -> list[log.Session]:
        """`count` sessions of explainers that nobody has told of, from clients never seen before."""
        kinds = [_kinds(target, explainers.KINDS, writing.EXPLAINERS) for target in self.targets]
        return self._sessions(kinds, [Crowd.stated(own) for own in kinds], count, period, new=True)

    def _sessions(
        self,
        kinds: Sequence[Mapping[str, Kind]],
        crowds: Sequence[Crowd],
        count: int,
        period: Period,
        new: bool = False,
    ) -> list[log.Session]:
        uniform = self.rng.random(count)
        made: list[log.Session] = []
        for first, (target, crowd, own) in enumerate(zip(self.targets, crowds, kinds, strict=True)):
            sessions, names = [], list(own)
            chosen = crowd.choose(uniform)
            for i in range(first, count, len(self.targets)):
                who = (self._directory.register if new else self._directory.pick)(target.model_id)
                name = names[chosen[i]]
                sessions.append(self._honest(target, name, own[name], crowd.patience, who, period))
            if sessions:
                # The model answers row by row; one call for all sessions is only faster.
                answers = target.predict(np.vstack([s.inputs for s in sessions]))
                parts = np.split(answers, np.cumsum([len(s.inputs) for s in sessions])[:-1])
                made += [dataclasses.replace(s, answers=a) for s, a in zip(sessions, parts, strict=True)]
        return made

    def attack(
        self,
        target: Target,
        name: str,
        budget: int,
        variant: Variant,
        period: Period,
        program: Program = OWN_NUMBERS,
        own_scale: bool = False,
    ) -> list[log.Session]:
        """The sessions of one attack of at most `budget` queries of its own, cut there, in this variant;
        `program` and `own_scale` as in `record`."""
        who = self._directory.pick(target.model_id)
        rng = np.random.default_rng(self.rng.integers(2**63))
        recording = record(target, name, budget, who.digits, rng, program, own_scale)
        return deal(recording, variant, target, who, self._directory, self.rng, period)

    def _honest(
        self, target: Target, name: str, kind: Kind, patience: float, who: Identity, period: Period
    ) -> log.Session:
        rng = self.rng
        mix = rng.dirichlet(np.full(target.dataset.classes, rng.choice([0.5, 1.0, 5.0])))
        drawn = kind.draw(Client(target.population, rng, mix), kind.length(rng, patience))
        inputs = significant(drawn, who.digits)
        calls = schedule.bulk_calls(rng, len(inputs))
        pace = str(rng.choice(kind.paces))
        start = schedule.start_time(rng, period, pace != "person")
        times = start + schedule.arrivals(rng, schedule.PACES[pace], calls)
        return log.Session(
            session_id=self._directory.token(8),
            client_id=who.client_id,
            model_id=target.model_id,
            kind=name,
            family="benign",
            source_ip=who.source_ip,
            user_agent=who.user_agent,
            request_prefix=self._directory.token(4),
            inputs=inputs,
            answers=np.empty((0, target.dataset.classes)),
            times=np.round(times, 4),
            own=np.zeros(len(inputs), dtype=np.bool_),
        )


def _kinds(target: Target, usual: Mapping[str, Kind], of_writers: Mapping[str, Kind]) -> Mapping[str, Kind]:
    return usual if target.dataset.strings is None else of_writers
