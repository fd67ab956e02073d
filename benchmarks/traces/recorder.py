"""The model's predict interface as a client sees it; every row that it scores is recorded."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.program import OWN_NUMBERS, Program
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


def written(x: FloatArray, target: Target, digits: int, natural: bool) -> FloatArray:
    """Raw inputs x [n, d] as a program sends them: with so many significant digits, and, if it is
    `natural`, as the data's own source writes rows."""
    return significant(target.dataset.snap(x) if natural else x, digits)


IN_VAIN = 20
"""Calls in a row that send nothing new after which a program sends a row again."""
FROM_MEMORY = 3
"""Answers from memory, in budgets, after which a program gives up: its search stands still."""


class Recorder:
    """Scores rows with the target and keeps them, in order, until the budget is spent.

    Rows are first rounded to the client's `digits`, so the model answers exactly what the log shows.
    `again` counts rows that were sent before, checks apart: for want of new ones by programs that remember
    answers.
    """

    def __init__(self, target: Target, budget: int, digits: int, program: Program = OWN_NUMBERS) -> None:
        self.target, self.digits, self.left, self.program = target, digits, budget, program
        self.calls: list[int] = []
        self.again = 0
        self._inputs: list[FloatArray] = []
        self._answers: list[FloatArray] = []
        self._sent: set[bytes] = set()
        self._known: dict[bytes, FloatArray] = {}
        self._in_vain = 0
        self._from_memory = FROM_MEMORY * budget
        # Its own chance: whether a program checks what it has must not change how it searches.
        self._checking = np.random.default_rng(budget)

    def predict(self, x: FloatArray) -> FloatArray:
        """Probabilities [n, k] of raw inputs x [n, d]. Raises BudgetSpent when not all could be scored."""
        rows = written(np.asarray(x, dtype=np.float64), self.target, self.digits, self.program.natural)
        if self.program.remembers:
            answers = self._remembered(rows)
        else:
            self._count(rows[: self.left])
            answers = self._score(rows)
        if self._checking.random() < self.program.checks:
            self._check()
        return answers

    def _check(self) -> None:
        """Ask once more for the first row of all, or for the one that was asked for last."""
        where = 0 if self._checking.random() < 0.5 else -1
        self._score(self._inputs[where][where][None])

    def _count(self, rows: FloatArray) -> None:
        for key in (row.tobytes() for row in rows):
            self.again += key in self._sent
            self._sent.add(key)

    def _remembered(self, rows: FloatArray) -> FloatArray:
        keys = [row.tobytes() for row in rows]
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in self._known}
        self._in_vain = 0 if new else self._in_vain + 1
        if self._in_vain == IN_VAIN:
            self._in_vain, self.again, new = 0, self.again + 1, {keys[0]: rows[0]}
        if new:
            answers = self._score(np.array(list(new.values())))
            self._known.update(zip(new, answers, strict=True))
        self._from_memory -= len(keys) - len(new)
        if self._from_memory < 0:
            raise BudgetSpent
        return np.array([self._known[key] for key in keys])

    def _score(self, rows: FloatArray) -> FloatArray:
        if not self.left:
            raise BudgetSpent
        sent = rows[: self.left]
        answers = self.target.predict(sent)
        self._inputs.append(sent)
        self._answers.append(answers.copy())  # whatever the program does with those it got
        self.calls.append(len(sent))
        self.left -= len(sent)
        if len(sent) < len(rows):
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
