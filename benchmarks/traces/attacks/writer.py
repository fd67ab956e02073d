"""An attacker who can send nothing but texts: what they have and what they write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.text import as_vectors
from benchmarks.traces.wording.corpora import Texts, words_of
from benchmarks.traces.wording.edits import one_of
from detector.query import FloatArray


@dataclass(frozen=True)
class Writer:
    """The same attacker, against a model whose inputs are texts."""

    attacker: Attacker

    @property
    def rng(self) -> np.random.Generator:
        return self.attacker.rng

    @property
    def classes(self) -> int:
        return self.attacker.classes

    def ask(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities [n, k] of texts; each is a logged query."""
        return self.attacker.recorder.predict(as_vectors(texts))

    def ask_one(self, text: str) -> FloatArray:
        """Probabilities [k] of one text."""
        return np.asarray(self.ask([text])[0])

    def own(self) -> list[str]:
        """The attacker's texts, shuffled."""
        return self._shuffled(self._texts.attacker)

    def members(self) -> list[str]:
        """Texts of the training set, shuffled."""
        return self._shuffled(self._texts.train)

    def candidates(self) -> Iterator[str]:
        """Texts that are members or not with the same chance."""
        for member, other in zip(self.members(), self.own(), strict=False):
            yield member if self.rng.random() < 0.5 else other

    @cached_property
    def vocabulary(self) -> list[str]:
        """The words of the attacker's texts, once each."""
        return words_of(self._texts.attacker)

    def word(self) -> str:
        """Any word."""
        return one_of(self.rng, self.vocabulary)

    def words(self, count: int) -> list[str]:
        """So many words, drawn one by one."""
        return [self.word() for _ in range(count)]

    def usual_length(self) -> int:
        """The words of one of the attacker's texts, whichever."""
        return len(one_of(self.rng, self._texts.attacker).split())

    def alike(self, word: str, count: int) -> list[str]:
        """So many words that could stand for this one: in half of the cases with the same beginning or
        ending, which is what an attacker without a thesaurus has."""
        near = [
            other
            for other in self.vocabulary
            if other != word and (other[:2] == word[:2] or other[-3:] == word[-3:])
        ]
        return [
            one_of(self.rng, near) if near and self.rng.random() < 0.5 else self.word() for _ in range(count)
        ]

    @property
    def _texts(self) -> Texts:
        texts = self.attacker.recorder.target.dataset.strings
        if texts is None:
            raise ValueError(f"{self.attacker.recorder.target.model_id} does not take texts")
        return texts

    def _shuffled(self, texts: Sequence[str]) -> list[str]:
        return [texts[which] for which in self.rng.permutation(len(texts)).tolist()]
