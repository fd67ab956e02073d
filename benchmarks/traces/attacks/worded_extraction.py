"""Extraction of models of texts: what to ask so that a copy can be taught."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.writer import Writer
from benchmarks.traces.wording.corpora import foreign
from benchmarks.traces.wording.edits import one_of, other_words


def random_words(attacker: Attacker) -> None:
    """Krishna et al. 2020: words in no order."""
    writer = Writer(attacker)
    while True:
        writer.ask([" ".join(writer.words(writer.usual_length())) for _ in range(10)])


def foreign_texts(attacker: Attacker) -> None:
    """KnockoffNets (Orekondy et al. 2019): texts about something else."""
    writer = Writer(attacker)
    while True:
        writer.ask(foreign(writer.rng, 10))


def word_weights(attacker: Attacker) -> None:
    """What each word weighs (Lowd and Meek 2005): one word alone, or behind the same short text."""
    writer, rng = Writer(attacker), attacker.rng
    base = writer.words(int(rng.choice([0, 0, 1, 4, 12])))
    for which in rng.permutation(len(writer.vocabulary)).tolist():
        writer.ask_one(" ".join([*base, writer.vocabulary[which]]))


def chained_words(attacker: Attacker) -> None:
    """Texts of a Markov chain over the attacker's own: each word has followed the one before somewhere."""
    writer, rng = Writer(attacker), attacker.rng
    after: dict[str, list[str]] = defaultdict(list)
    beginnings = []
    for text in writer.own():
        words = text.split()
        beginnings.append(words[0])
        for word, following in pairwise(words):
            after[word].append(following)
    while True:
        words = [one_of(rng, beginnings)]
        for _ in range(writer.usual_length()):
            words.append(one_of(rng, after.get(words[-1]) or beginnings))
        writer.ask_one(" ".join(words))


def spliced_texts(attacker: Attacker) -> None:
    """The beginning of one text and the end of another, as mix-up (Zhang et al. 2018) for texts."""
    writer, rng = Writer(attacker), attacker.rng
    own = writer.own()
    while True:
        one, other = (one_of(rng, own).split() for _ in range(2))
        share = rng.random()
        writer.ask_one(
            " ".join(one[: round(share * len(one))] + other[round(share * len(other)) :]) or one[0]
        )


def uncertain_edits(attacker: Attacker) -> None:
    """Uncertainty sampling (Lewis and Gale 1994) round own texts: the one that the model is least sure of is
    edited, and its edits join the rest."""
    writer, rng = Writer(attacker), attacker.rng
    pool = writer.own()[: int(rng.integers(5, 25))]
    sure = list(writer.ask(pool).max(axis=1))
    share = rng.uniform(0.1, 0.5)
    while True:
        at = int(np.argmin(sure))
        text, sure[at] = pool[at], np.inf
        count = max(1, round(share * len(text.split())))
        edits = [other_words(rng, text, count, writer.vocabulary) for _ in range(int(rng.integers(2, 9)))]
        pool += edits
        sure += list(writer.ask(edits).max(axis=1))
