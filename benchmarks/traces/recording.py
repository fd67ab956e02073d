"""An attack that was carried out: what it sent and what the model answered, without who and when."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.traces.attacks import ATTACKS, Attacker, carry_out
from benchmarks.traces.recorder import Recorder, significant
from benchmarks.traces.targets import Target
from detector.query import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recording:
    """Queries of one attack in order.

    kind       the attack's name
    model_id   what it was carried out against
    digits     significant digits that its program writes
    inputs     [n, d] as sent
    answers    [n, k] what the model answered to exactly these
    calls      rows of each call of the attack's program
    own        [n] False for ordinary queries that were mixed in
    """

    kind: str
    model_id: str
    digits: int
    inputs: FloatArray
    answers: FloatArray
    calls: tuple[int, ...]
    own: BoolArray

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def family(self) -> str:
        """The family that the attack counts as."""
        return ATTACKS[self.kind].family

    def cut(self, most: int) -> Recording:
        """Its first `most` queries, each a call of its own if any had to go."""
        return self if len(self) <= most else self.take(np.arange(most))

    def take(self, order: IntArray) -> Recording:
        """These queries in this order, each a call of its own."""
        return replace(
            self,
            inputs=self.inputs[order],
            answers=self.answers[order],
            calls=(1,) * len(order),
            own=self.own[order],
        )

    def resent(self, inputs: FloatArray, target: Target) -> Recording:
        """Other inputs [n, d] in place of its own, as its program writes them, answered by the model."""
        written = significant(inputs, self.digits)
        return replace(self, inputs=written, answers=target.predict(written))

    def insert(self, position: IntArray, rows: FloatArray, answers: FloatArray) -> Recording:
        """Foreign rows [m, d] with their answers put before the queries at `position` [m], ascending."""
        inputs = np.insert(self.inputs, position, rows, axis=0)
        return replace(
            self,
            inputs=inputs,
            answers=np.insert(self.answers, position, answers, axis=0),
            calls=(1,) * len(inputs),
            own=np.insert(self.own, position, False),
        )


def record(target: Target, kind: str, budget: int, digits: int, rng: np.random.Generator) -> Recording:
    """Carries out the attack with at most `budget` queries, cut there."""
    recorder = Recorder(target, budget, digits)
    carry_out(kind, Attacker(recorder, rng, budget))
    return Recording(
        kind,
        target.model_id,
        digits,
        recorder.inputs,
        recorder.answers,
        tuple(recorder.calls),
        np.ones(len(recorder.inputs), dtype=np.bool_),
    )
