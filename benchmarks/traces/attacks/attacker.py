"""What an attacker has: a query interface, some rows of their own, the public range of each column.

Attack tools work in the unit cube: the attacker scales each column by its public range, as the tools'
papers do with images, and scales back when sending.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from unittest import mock

import numpy as np

from benchmarks.traces.recorder import Recorder
from detector.query import FloatArray, IntArray


@dataclass(frozen=True)
class Attacker:
    """`recorder` answers and counts; `rng` is the attacker's own chance; `budget` the queries allowed."""

    recorder: Recorder
    rng: np.random.Generator
    budget: int

    @property
    def columns(self) -> int:
        return self.recorder.target.dataset.columns

    @property
    def classes(self) -> int:
        return self.recorder.target.dataset.classes

    def ask(self, unit: FloatArray) -> FloatArray:
        """Probabilities [n, k] of unit-cube rows [n, d]; each row is a logged query."""
        return self.recorder.predict(self.recorder.target.dataset.from_unit(unit))

    def ask_natural(self, unit: FloatArray) -> FloatArray:
        """The same for rows of the data itself: written as their source does, whatever a tool made of
        their last digits."""
        dataset = self.recorder.target.dataset
        return self.recorder.predict(dataset.snap(dataset.from_unit(unit)))

    def own_rows(self) -> tuple[FloatArray, IntArray]:
        """The attacker's rows in the unit cube, shuffled, with their true labels."""
        dataset = self.recorder.target.dataset
        order = self.rng.permutation(len(dataset.attacker))
        return dataset.to_unit(dataset.attacker[order]), dataset.attacker_labels[order]

    def members(self) -> tuple[FloatArray, IntArray]:
        """Rows of the training set in the unit cube, shuffled, with labels: candidates of membership."""
        dataset = self.recorder.target.dataset
        order = self.rng.permutation(len(dataset.train))
        return dataset.to_unit(dataset.train[order]), dataset.train_labels[order]

    def candidates(self) -> Iterator[FloatArray]:
        """Records [d] of the unit cube, each a member or not with the same chance."""
        inside, outside = self.members()[0], self.own_rows()[0]
        for i in range(min(len(inside), len(outside))):
            yield (inside if self.rng.random() < 0.5 else outside)[i]

    def art_classifier(self, least_classes: int = 2, natural: bool = False) -> Any:
        """The target as ART's BlackBoxClassifier over the unit cube, said to have at least so many classes
        (some of ART's attacks refuse two); those that it has not are never answered. `natural` is for
        attacks that send rows of the data as they are."""
        import_art()
        from art.estimators.classification import BlackBoxClassifier

        more = max(0, least_classes - self.classes)

        def ask(unit: FloatArray) -> FloatArray:
            answers = self.ask_natural(unit) if natural else self.ask(unit)
            return np.pad(answers, ((0, 0), (0, more)))

        classes = self.classes + more
        return BlackBoxClassifier(ask, (self.columns,), classes, clip_values=(0.0, 1.0))

    @contextlib.contextmanager
    def seeded_numpy(self) -> Iterator[None]:
        """NumPy's global generator seeded from `rng`, for tools that draw from it; restored afterwards.

        ART's HopSkipJump and boundary attack draw their start from an unseeded `RandomState()`, so that
        class is replaced for the time by one that is seeded too.
        """

        class Seeded(_SeededState):
            seeds = np.random.default_rng(self.rng.integers(2**63))

        state = np.random.get_state()
        np.random.seed(int(Seeded.seeds.integers(2**31)))
        try:
            with mock.patch.object(np.random, "RandomState", Seeded):
                yield
        finally:
            np.random.set_state(state)


def both_sides(x: FloatArray, steps: FloatArray) -> FloatArray:
    """Points [2 n, d] round x [d]: for each of the steps [n, d] in turn x with it, then its mirror image."""
    return np.stack([x + steps, x - steps], axis=1).reshape(-1, x.size)


class _SeededState(np.random.RandomState):
    """A `RandomState` that draws its seed from `seeds` when it is given none."""

    seeds: ClassVar[np.random.Generator]

    def __init__(self, seed: Any = None) -> None:
        super().__init__(int(self.seeds.integers(2**31)) if seed is None else seed)


def import_art() -> None:
    """Imports ART, without its warning that PyTorch is missing (only its torch parts need it). It takes
    seconds, so every import of ART is inside a function that needs it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PyTorch not found", category=UserWarning)
        import art.attacks.evasion  # noqa: F401
