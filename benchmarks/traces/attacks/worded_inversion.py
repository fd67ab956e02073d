"""Inversion of models of texts: texts that stand for a class, and what was left out of a text."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.writer import Writer
from benchmarks.traces.wording.edits import some_places, with_word


def greedy_words(attacker: Attacker) -> None:
    """A text for a class, written word by word: some words are tried behind it, and the best is kept."""
    writer, rng = Writer(attacker), attacker.rng
    tries, goal = int(rng.integers(4, 21)), int(rng.integers(writer.classes))
    while True:
        words: list[str] = []
        for _ in range(max(6, writer.usual_length())):
            more = writer.words(tries)
            answers = writer.ask([" ".join([*words, word]) for word in more])
            words.append(more[int(answers[:, goal].argmax())])
        goal = (goal + 1) % writer.classes


def beam_words(attacker: Attacker) -> None:
    """The same with the three best beginnings kept."""
    writer, rng = Writer(attacker), attacker.rng
    goal = int(rng.integers(writer.classes))
    while True:
        beam: list[list[str]] = [[]]
        for _ in range(max(6, writer.usual_length())):
            tried = [[*words, word] for words in beam for word in writer.words(int(rng.integers(3, 8)))]
            answers = writer.ask([" ".join(words) for words in tried])
            best = answers[:, goal].argsort(kind="stable")[::-1][:3]
            beam = [tried[int(which)] for which in best]
        goal = (goal + 1) % writer.classes


def evolving_words(attacker: Attacker) -> None:
    """A (1 + lambda) evolution strategy: words of a random or an own text are exchanged, put in or left out,
    and the child that stands best for the class replaces it."""
    writer, rng = Writer(attacker), attacker.rng
    children, goal = int(rng.integers(1, 12)), int(rng.integers(writer.classes))
    while True:
        words = writer.words(writer.usual_length()) if rng.random() < 0.7 else writer.own()[0].split()
        now, still = float(writer.ask_one(" ".join(words))[goal]), 0
        while now < 0.995 and still < 25:
            tried = [_varied(writer, words) for _ in range(children)]
            answers = writer.ask([" ".join(child) for child in tried])[:, goal]
            best = int(answers.argmax())
            still = 0 if answers[best] > now else still + 1
            if answers[best] > now:
                words, now = tried[best], float(answers[best])
        goal = (goal + 1) % writer.classes


def annealing_words(attacker: Attacker) -> None:
    """Simulated annealing (Kirkpatrick et al. 1983) over the words of a text."""
    writer, rng = Writer(attacker), attacker.rng
    goal = int(rng.integers(writer.classes))
    words = writer.words(max(4, writer.usual_length()))
    now = float(np.log(writer.ask_one(" ".join(words))[goal] + 1e-9))
    for warmth in np.geomspace(1.0, 0.02, attacker.budget):
        tried = _varied(writer, words)
        score = float(np.log(writer.ask_one(" ".join(tried))[goal] + 1e-9))
        if score > now or rng.random() < np.exp((score - now) / warmth):
            words, now = tried, score


def slot_filling(attacker: Attacker) -> None:
    """Attribute inversion (Fredrikson et al. 2014) and exposure (Carlini et al. 2019): a training text with a
    gap, and everything that may have stood there, words or numbers; then the next gap."""
    writer, rng = Writer(attacker), attacker.rng
    choice = writer.words(int(rng.integers(8, 80)))
    if rng.random() < 0.3:
        choice = [str(number) for number in rng.integers(1, 10_000, len(choice)).tolist()]
    for text in writer.members():
        words = text.split()
        for at in some_places(rng, words, int(rng.integers(1, 3))):
            filled = [with_word(words, at, word) for word in choice]
            answers = writer.ask([" ".join(tried) for tried in filled])
            words = filled[int(answers.max(axis=1).argmax())]


def _varied(writer: Writer, words: list[str]) -> list[str]:
    rng, tried = writer.rng, list(words)
    at, how = int(rng.integers(len(words))), rng.random()
    if how < 0.6:
        tried[at] = writer.word()
    elif how < 0.8 or len(words) < 3:
        tried.insert(at, writer.word())
    else:
        tried.pop(at)
    return tried
