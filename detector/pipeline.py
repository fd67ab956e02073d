"""The way of the data, on one screen. Open this file first.

    records  ->  runs of one model     ->  columns       ->  sessions, features,    ->  alerts
    in the       and input length          QueryBatch        models, policy             in the
    shard's      detector.router           detector.         detector.model_state       records'
    order                                  columns                                      order

A *shard* is one Kafka partition, or one replayed log. `Shard.process` is a pure function of the shard's
state and the records: it never looks at a clock, the network or the environment, and cutting the same
records into other batches changes no alert.

Within `ModelState.process`, per batch of one model:

    SessionTable.assign      each query's session slot                          detector.sessions
    advance                  per query: update the session's statistics;        detector.features
                             every 4th: a row of features
    Ensemble.score           rows -> mean surprise                              models.ensemble
    judge                    surprise -> evidence -> raise or revise            detector.policy
    build_alert              the ECS document                                   detector.ecs
    Learner                  rows of sessions that did not alert teach          detector.learner

and after all models
    Groups                   one client's flood of alerts, told as one          detector.grouping
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from detector import prior
from detector.collector import give_back_holes
from detector.decoded import plain_rows
from detector.features.catalogue import NAMES
from detector.features.layout import FIRST_EVALUATION
from detector.grouping import Groups
from detector.model_state import ModelState
from detector.profile import ModelProfile
from detector.query import Record
from detector.router import Outcome, Router
from detector.settings import Settings
from detector.shares import Shares

__all__ = ["Outcome", "Settings", "Shard", "warm_up"]

GROWN = 2**24
"""Bytes that all models together grow by before the heap is tidied."""


class Shard(Router[ModelState]):
    """One shard: its models' states, and the offset up to which it has been processed.

    `profiles` judge the models they name; a model without one learns its own, if `settings.learn`.
    """

    def __init__(
        self, settings: Settings, profiles: Mapping[str, ModelProfile], source: str = "", partition: int = 0
    ) -> None:
        def make(name: str, d: int) -> ModelState:
            profile = profiles.get(name)
            fits = profile is not None and profile.input_length == d
            memory = self.shares.given[name]
            self.made[name] = self.made.get(name, 0) + 1
            return ModelState(name, d, self.settings, profile if fits else None, memory, self.made[name])

        self.settings = settings
        self.made: dict[str, int] = {}
        """States made so far of each model: it begins anew when its inputs change their length."""
        self.shares = Shares(settings.memory)
        self._tidied = 0
        expected = {name: profile.input_length for name, profile in profiles.items()}
        self.groups = Groups(settings.tenant)
        super().__init__(make, expected, source, partition)

    def process(self, records: Sequence[Record]) -> Outcome:
        """Account for records in the shard's order. A record delivered twice counts once."""
        outcome = super().process(records)
        outcome.alerts = self.groups.take(outcome.alerts)
        return outcome

    def divide(self) -> None:
        """Divide the memory anew among the models; by now, columns that grew have left holes behind."""
        held = {name: state.held for name, state in self.models.items()}
        self.shares.divide(held)
        for name, state in self.models.items():
            state.use_memory(self.shares.given[name])
        total = sum(held.values())
        if total > self._tidied + GROWN:
            self._tidied = total
            give_back_holes()

    def first_seen(self, name: str) -> None:
        """Give a new model its share of the memory."""
        self.shares.first_seen(name)

    def use_budget(self, budget: float) -> None:
        """Accept another rate of false alerts from the next record on."""
        self.settings = replace(self.settings, budget=budget)
        for state in self.models.values():
            state.settings = self.settings


def warm_up(profiles: Mapping[str, ModelProfile]) -> None:
    """Load every compiled kernel, or compile it, so that the first records do not wait for that.

    Changes nothing: throw-away shards see two clients whose sessions are in turn an hour's silence apart,
    which each profile judges, and which one shard without a profile learns from. Without any profile, the
    prior scores a row.
    """
    if not profiles:
        prior.shipped().profile.ensemble.score(np.zeros((1, len(NAMES))))
    rows = 2 * FIRST_EVALUATION
    for profile in (*profiles.values(), None):
        d = profile.input_length if profile is not None else 2
        shard = Shard(Settings(memory=0), {"model": profile} if profile is not None else {})
        for turn in range(4):
            times = np.arange(rows, dtype=np.float64) + (1.0 + 3600.0 * turn)
            inputs = np.outer(np.arange(rows) % 7, np.linspace(1.0, 1e6, d)) + turn
            client = f"client{turn % 2}"
            shard.process(plain_rows("model", client, times, inputs, rows * turn))
