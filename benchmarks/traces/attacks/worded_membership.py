"""Membership of texts: how well an answer stands when the text is changed. That of a member stands better."""

from __future__ import annotations

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.writer import Writer
from benchmarks.traces.wording.edits import fewer_words, other_words, slips


def neighbour_texts(attacker: Attacker) -> None:
    """Mattern et al. 2023: each text, and some that differ in a word or two."""
    writer, rng = Writer(attacker), attacker.rng
    neighbours, changed = int(rng.integers(5, 30)), int(rng.integers(1, 4))
    for text in writer.candidates():
        near = [other_words(rng, text, changed, writer.vocabulary) for _ in range(neighbours)]
        writer.ask([text, *near])


def dropped_words(attacker: Attacker) -> None:
    """Labels only, after Choquette-Choo et al. 2021: each text, and some without random words."""
    writer, rng = Writer(attacker), attacker.rng
    copies, share = int(rng.integers(4, 25)), rng.uniform(0.1, 0.5)
    for text in writer.candidates():
        gone = max(1, round(share * len(text.split())))
        writer.ask([text, *(fewer_words(rng, text, gone) for _ in range(copies))])


def masked_words(attacker: Attacker) -> None:
    """How many words can be left out, in random order, until the label goes."""
    writer = Writer(attacker)
    for text in writer.candidates():
        label = writer.ask_one(text).argmax()
        while (
            len(text.split()) > 1
            and writer.ask_one(text := fewer_words(writer.rng, text, 1)).argmax() == label
        ):
            pass


def more_slips(attacker: Attacker) -> None:
    """How many slips of the pen a label stands, some times each number."""
    writer, rng = Writer(attacker), attacker.rng
    times = int(rng.integers(1, 5))
    for text in writer.candidates():
        label = writer.ask_one(text).argmax()
        for count in range(1, min(12, len(text.split())) + 1):
            if (writer.ask([slips(rng, text, count) for _ in range(times)]).argmax(axis=1) != label).all():
                break


def shortened_texts(attacker: Attacker) -> None:
    """How much of the end can be cut off until the label goes."""
    writer = Writer(attacker)
    for text in writer.candidates():
        label, words = writer.ask_one(text).argmax(), text.split()
        for length in range(len(words) - 1, 0, -1):
            if writer.ask_one(" ".join(words[:length])).argmax() != label:
                break
