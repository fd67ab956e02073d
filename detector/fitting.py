"""Learning a profile from history, in two passes over the same log.

The first pass samples inputs, from which each model's units are learned; the second measures sessions in
those units and collects evaluation points; then profiles are built from them at one go. How strange an input
is the second pass asks of the half of the sample that it is not in (`detector.features.halves`), or the
inputs of the history would seem more usual than honest ones that come later. Memory is bounded by the sample
and the window, however long the history is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from detector.alert import Alert
from detector.columns import QueryBatch
from detector.features import inputs as units
from detector.features.inputs import Inputs
from detector.input_sample import InputSample
from detector.learner import Learner
from detector.model_state import ModelState
from detector.policy import OTHERS
from detector.profile import MINIMUM_SESSIONS, ModelProfile, build
from detector.query import FloatArray, Record
from detector.router import Outcome, Router
from detector.settings import Settings

HISTORY_WINDOW = 400_000
"""Evaluation points that a fitted profile is built from, the newest ones."""


INPUTS_OF_SESSION = 16
"""Inputs of one session that may be sampled: a few long attacks must not bend the units."""
COUNTED_SESSIONS = 200_000
"""Sessions whose inputs are counted at a time; then counting begins anew."""


class Units(NamedTuple):
    """A model's input units: `whole` for what comes later, `apart` for the history that they were learned
    from."""

    whole: Inputs
    apart: Inputs

    @classmethod
    def learn(cls, sample: FloatArray) -> Units:
        """From benign rows [n, d], n >= 2."""
        whole = units.learn(sample)
        apart = units.learn_apart(sample, whole)
        return cls(whole._replace(odd=apart.odd), apart)


class _Sampler:
    """First pass: samples the inputs of one model."""

    def __init__(self, d: int) -> None:
        self.sample = InputSample(d)
        self._seen: Counter[tuple[str, str]] = Counter()

    def process(self, batch: QueryBatch) -> list[Alert]:
        rows: list[int] = []
        for row, record in enumerate(batch.records):
            session = record.client_id, record.session_id
            self._seen[session] += 1
            if self._seen[session] <= INPUTS_OF_SESSION:
                rows.append(row)
            if len(self._seen) > COUNTED_SESSIONS:
                self._seen.clear()
        self.sample.add(batch.inputs[rows], np.zeros(len(rows), dtype=np.int64))
        return []


class Sampling:
    """The first pass: give it every record of the history, then take `units`."""

    def __init__(self) -> None:
        self._router = Router(lambda _, d: _Sampler(d), {}, "", 0)

    def observe(self, records: Sequence[Record]) -> Outcome:
        """Account for records in order."""
        return self._router.process(records)

    def units(self) -> dict[str, Units]:
        """Each model's input units."""
        return {
            name: Units.learn(reader.sample.rows)
            for name, reader in self._router.models.items()
            if len(reader.sample.rows) > 1
        }


class Measuring:
    """The second pass: give it the same records again, then take `profiles`. They are for other logs, or
    with `for_itself` for this one."""

    def __init__(self, settings: Settings, units: dict[str, Units], *, for_itself: bool = False) -> None:
        def make(name: str, d: int) -> ModelState:
            state = ModelState(name, d, replace(settings, learn=True, prior=False), None)
            if name in units:
                state.use_units(units[name].apart)
            state.learner = Learner(window=HISTORY_WINDOW, build=False)
            state.beginning = state.past = state.sent = None
            return state

        self._units, self._for_itself = units, for_itself
        lengths = {name: len(own.whole.location) for name, own in units.items()}
        self._router = Router(make, lengths, "", 0)

    def observe(self, records: Sequence[Record]) -> Outcome:
        """Account for records in order."""
        return self._router.process(records)

    def evaluation_points(self) -> dict[str, int]:
        """How many evaluation points each model's history gave."""
        return {
            name: state.learner.points
            for name, state in self._router.models.items()
            if state.learner is not None
        }

    def profiles(self) -> tuple[dict[str, ModelProfile], dict[str, str]]:
        """Profiles by model id, and for each model that got none, why."""
        made: dict[str, ModelProfile] = {}
        missing: dict[str, str] = {}
        for name, state in sorted(self._router.models.items()):
            learner = state.learner or Learner(build=False)
            rows, others = learner.clean(), tuple(learner.clean(kind) for kind in OTHERS)
            known = name in self._units and not self._for_itself
            inputs = self._units[name].whole if known else state.inputs
            near, keys_of = state.campaigns.distance, None if self._for_itself else state.clients.keys_of
            profile = build(1, inputs, rows, state.begun, others, near, keys_of)
            if profile is None:
                judged = len(np.unique(rows.entities))
                missing[name] = (
                    f"{judged} of its {state.begun} sessions are long enough to learn from, "
                    f"{MINIMUM_SESSIONS} are needed"
                )
            else:
                made[name] = profile
        return made, missing
