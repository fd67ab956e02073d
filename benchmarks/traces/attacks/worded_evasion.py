"""Evasion of models of texts: edits of a text that ought to keep its sense until the label goes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.writer import Writer
from benchmarks.traces.wording.edits import one_of, other_words, slip, with_word
from detector.query import FloatArray

INVISIBLE = ("\u200b", "\u200c", "\u200d", "\u2060")
LOOKALIKES = {"a": "а", "e": "е", "o": "о", "p": "р", "c": "с", "x": "х", "i": "і"}


def word_substitution(attacker: Attacker) -> None:
    """TextFooler (Jin et al. 2020): words by how much the confidence falls without them, then words in
    their place until the label goes."""
    writer = Writer(attacker)
    for text, label in _texts(writer):
        words = text.split()
        for at in _by_importance(writer, words, label, ""):
            tries = [
                with_word(words, at, word)
                for word in writer.alike(words[at], int(writer.rng.integers(4, 16)))
            ]
            answers = writer.ask([" ".join(t) for t in tries])
            words = tries[int(answers[:, label].argmin())]
            if (answers.argmax(axis=1) != label).any():
                break


def character_edits(attacker: Attacker) -> None:
    """DeepWordBug (Gao et al. 2018): words by how much the confidence falls where they are unknown, then a
    slip of the pen in one after the other."""
    writer = Writer(attacker)
    for text, label in _texts(writer):
        words = text.split()
        for at in _by_importance(writer, words, label, "unk"):
            words = with_word(words, at, slip(writer.rng, words[at]))
            if writer.ask_one(" ".join(words)).argmax() != label:
                break


def genetic_words(attacker: Attacker) -> None:
    """Alzantot et al. 2018: generations of texts with other words, crossed word by word."""
    writer, size = Writer(attacker), int(attacker.rng.integers(5, 21))
    rng = writer.rng
    for text, label in _texts(writer):
        first = text.split()
        population = [_mutated(writer, first) for _ in range(size)]
        for _ in range(30):
            answers = writer.ask([" ".join(words) for words in population])
            if (answers.argmax(axis=1) != label).any():
                break
            fitness = 1.0 - answers[:, label]
            chances = fitness / fitness.sum()
            children = [population[int(fitness.argmax())]]
            while len(children) < size:
                one, other = (population[int(which)] for which in rng.choice(size, 2, p=chances))
                crossed = [a if rng.random() < 0.5 else b for a, b in zip(one, other, strict=True)]
                children.append(_mutated(writer, crossed))
            population = children


def good_words(attacker: Attacker) -> None:
    """The good word attack (Lowd and Meek 2005): words put behind a text, and those that help kept."""
    writer = Writer(attacker)
    at_once = int(writer.rng.integers(1, 6))
    for text, label in _texts(writer):
        words, now = text.split(), writer.ask_one(text)[label]
        for _ in range(40):
            longer = [*words, *writer.words(at_once)]
            answer = writer.ask_one(" ".join(longer))
            if answer[label] < now:
                words, now = longer, answer[label]
            if answer.argmax() != label:
                break


def hard_label_words(attacker: Attacker) -> None:
    """Labels only, after Maheshwary et al. 2021: so many other words that the label goes, then the first
    words again wherever it stays gone."""
    writer, rng = Writer(attacker), attacker.rng
    for text, label in _texts(writer):
        first = text.split()
        for _ in range(10):
            words = other_words(rng, text, max(1, len(first) * 2 // 3), writer.vocabulary).split()
            if writer.ask_one(" ".join(words)).argmax() != label:
                break
        else:
            continue
        for _ in range(2):
            for at in rng.permutation(len(first)).tolist():
                if words[at] != first[at]:
                    tried = with_word(words, at, first[at])
                    words = tried if writer.ask_one(" ".join(tried)).argmax() != label else words


def bad_characters(attacker: Attacker) -> None:
    """Boucher et al. 2022: characters that nobody sees, or that look alike, moved about by differential
    mutation."""
    writer, rng = Writer(attacker), attacker.rng
    size, budget = int(rng.integers(4, 11)), int(rng.integers(2, 8))
    look_alike = rng.random() < 0.5
    for text, label in _texts(writer):
        population = rng.random((size, budget))
        scores = writer.ask([_hidden(text, genes, look_alike) for genes in population])[:, label]
        for _ in range(10):
            one, two, three = (population[rng.permutation(size)] for _ in range(3))
            tried = np.mod(one + 0.6 * (two - three), 1.0)
            answers = writer.ask([_hidden(text, genes, look_alike) for genes in tried])
            better = answers[:, label] < scores
            population[better], scores[better] = tried[better], answers[better, label]
            if (answers.argmax(axis=1) != label).any():
                break


def trigger_words(attacker: Attacker) -> None:
    """Universal triggers (Wallace et al. 2019) without gradients: a few words before every text of a class,
    one of them changed at a time."""
    writer, rng = Writer(attacker), attacker.rng
    texts = writer.own()[: int(rng.integers(3, 9))]
    labels = writer.ask(texts).argmax(axis=1)
    trigger, best = writer.words(3), np.inf
    while True:
        tried = with_word(trigger, int(rng.integers(3)), writer.word())
        answers = writer.ask([" ".join([*tried, text]) for text in texts])
        kept = float(answers[np.arange(len(texts)), labels].mean())
        if kept < best:
            trigger, best = tried, kept


def _texts(writer: Writer) -> Iterator[tuple[str, int]]:
    """The attacker's texts, each with the label that the model gives."""
    for text in writer.own():
        yield text, int(writer.ask_one(text).argmax())


def _by_importance(writer: Writer, words: list[str], label: int, instead: str) -> list[int]:
    """Places of at most 40 words, those first without which the model is least sure of the label."""
    places = writer.rng.permutation(len(words))[:40]
    answers = writer.ask([" ".join(with_word(words, at, instead)).strip() for at in places.tolist()])
    return [int(at) for at in places[answers[:, label].argsort(kind="stable")]]


def _mutated(writer: Writer, words: list[str]) -> list[str]:
    at = int(writer.rng.integers(len(words)))
    return with_word(words, at, one_of(writer.rng, writer.alike(words[at], 2)))


def _hidden(text: str, genes: FloatArray, look_alike: bool) -> str:
    """The text with a character put in, or exchanged, at each of the places that the genes in [0, 1) stand
    for."""
    letters = list(text)
    for gene in genes.tolist():
        at = int(gene * len(text))
        if look_alike:
            letters[at] = LOOKALIKES.get(letters[at].lower(), letters[at] + INVISIBLE[0])
        else:
            letters[at] += INVISIBLE[int(gene * 1e6) % len(INVISIBLE)]
    return "".join(letters)
