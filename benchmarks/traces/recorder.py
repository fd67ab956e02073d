"""The model's predict interface as a client sees it; every row that it scores is recorded."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.targets import Target
from detector.query import FloatArray


class BudgetSpent(Exception):
    """The client has used up its queries; unwinds the attack tool, and only the driver catches it."""


def significant(x: FloatArray, digits: int) -> FloatArray:
    """x rounded to `digits` significant decimal digits, as a client writes its JSON."""
    # Below 1e-200 the power of ten would overflow: such numbers round to zero.
    magnitude = np.floor(np.log10(np.where(x == 0, 1.0, np.maximum(np.abs(x), 1e-200))))
    scale = 10.0 ** (digits - 1 - magnitude)
    return np.asarray(np.round(x * scale) / scale)


class Recorder:
    """Scores rows with the target and keeps them, in order, until the budget is spent.

    Rows are first rounded to the client's `digits`, so the model answers exactly what the log shows.
    """

    def __init__(self, target: Target, budget: int, digits: int) -> None:
        self.target, self.digits, self.left = target, digits, budget
        self.calls: list[int] = []
        self._inputs: list[FloatArray] = []
        self._answers: list[FloatArray] = []

    def predict(self, x: FloatArray) -> FloatArray:
        """Probabilities [n, k] of raw inputs x [n, d]. Raises BudgetSpent when not all could be scored."""
        if not self.left:
            raise BudgetSpent
        sent = significant(np.asarray(x, dtype=np.float64)[: self.left], self.digits)
        answers = self.target.predict(sent)
        self._inputs.append(sent)
        self._answers.append(answers)
        self.calls.append(len(sent))
        self.left -= len(sent)
        if len(sent) < len(x):
            raise BudgetSpent
        return answers

    @property
    def inputs(self) -> FloatArray:
        """What was sent, [n, d]."""
        return np.vstack(self._inputs)

    @property
    def answers(self) -> FloatArray:
        """What the model answered, [n, k]."""
        return np.vstack(self._answers)
