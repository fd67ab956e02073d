"""An attack that was carried out: what it sent and what the model answered, without who and when."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.traces.attacks import ALL, Attacker, carry_out
from benchmarks.traces.program import OWN_NUMBERS, Program
from benchmarks.traces.recorder import Recorder, written
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
    natural    whether its program writes rows as the data's own source does
    own        [n] False for ordinary queries that were mixed in
    """

    kind: str
    model_id: str
    digits: int
    inputs: FloatArray
    answers: FloatArray
    calls: tuple[int, ...]
    own: BoolArray
    natural: bool = False

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def family(self) -> str:
        """The family that the attack counts as."""
        return ALL[self.kind].family

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
        sent = written(inputs, target, self.digits, self.natural)
        return replace(self, inputs=sent, answers=target.predict(sent))

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


MOST_AGAIN, MOST_REPEATED, LEAST_SENT = 0.25, 0.6, 0.25
"""Share of rows that were sent before, by a program that remembers and by one that does not, and of the
budget that was spent: with more of the first two or less of the third a search is lost in the rounding."""
SPREADS = (2.0, 3.0, 5.0)
"""Standard deviations about the mean that an attacker takes for a column's range who knows no other."""


def record(
    target: Target,
    kind: str,
    budget: int,
    digits: int,
    rng: np.random.Generator,
    program: Program = OWN_NUMBERS,
    own_scale: bool = False,
) -> Recording:
    """Carries out the attack with at most `budget` queries, cut there. A natural program whose steps are
    lost in the rounding writes its own numbers after all. With `own_scale`, it scales columns by how the
    attacker's own rows spread, and not by the public range: steps are another share of it, and no value lies
    far out."""
    if own_scale:
        target = replace(target, dataset=target.dataset.as_seen_by_attacker(float(rng.choice(SPREADS))))
    state = rng.bit_generator.state
    recorder = _carried_out(target, kind, budget, digits, rng, program)
    sent = budget - recorder.left
    most = MOST_AGAIN if program.remembers else MOST_REPEATED
    if program.natural and (recorder.again > most * sent or sent < LEAST_SENT * budget):
        rng.bit_generator.state = state
        program = OWN_NUMBERS._replace(checks=program.checks)
        recorder = _carried_out(target, kind, budget, digits, rng, program)
    inputs = recorder.inputs
    own = np.ones(len(inputs), dtype=np.bool_)
    calls = tuple(recorder.calls)
    return Recording(kind, target.model_id, digits, inputs, recorder.answers, calls, own, program.natural)


def _carried_out(
    target: Target, kind: str, budget: int, digits: int, rng: np.random.Generator, program: Program
) -> Recorder:
    recorder = Recorder(target, budget, digits, program)
    carry_out(kind, Attacker(recorder, rng, budget))
    return recorder
