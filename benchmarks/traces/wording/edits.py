"""What people and programs do to a text: slips of the pen, other words, fewer words, another style."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence

import numpy as np

LETTERS = tuple(string.ascii_lowercase)


def one_of(rng: np.random.Generator, things: Sequence[str]) -> str:
    """One of them, each with the same chance."""
    return things[int(rng.integers(len(things)))]


def slip(rng: np.random.Generator, word: str) -> str:
    """The word with two letters swapped, one left out, doubled or mistyped."""
    at, how = int(rng.integers(len(word))), int(rng.integers(4))
    if how == 0 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how == 1 and len(word) > 1:
        return word[:at] + word[at + 1 :]
    return word[: at + (how == 2)] + one_of(rng, LETTERS) + word[at + 1 :]


def slips(rng: np.random.Generator, text: str, count: int) -> str:
    """The text with slips in so many of its words, or all."""
    words = text.split()
    for at in some_places(rng, words, count):
        words[at] = slip(rng, words[at])
    return " ".join(words)


def other_words(rng: np.random.Generator, text: str, count: int, vocabulary: Sequence[str]) -> str:
    """The text with so many of its words replaced."""
    words = text.split()
    for at in some_places(rng, words, count):
        words[at] = one_of(rng, vocabulary)
    return " ".join(words)


def fewer_words(rng: np.random.Generator, text: str, count: int) -> str:
    """The text without so many of its words; one remains."""
    words = text.split()
    gone = set(some_places(rng, words, min(count, len(words) - 1)))
    return " ".join(word for at, word in enumerate(words) if at not in gone)


def with_word(words: list[str], at: int, word: str) -> list[str]:
    """The words with this one at a place."""
    return [*words[:at], word, *words[at + 1 :]]


def moved_word(rng: np.random.Generator, text: str) -> str:
    """The text with one word elsewhere."""
    words = text.split()
    word = words.pop(int(rng.integers(len(words))))
    words.insert(int(rng.integers(len(words) + 1)), word)
    return " ".join(words)


def some_places(rng: np.random.Generator, words: Sequence[str], count: int) -> list[int]:
    """Places of so many different words, or of all."""
    return sorted(rng.permutation(len(words))[:count].tolist())


def _without_punctuation(text: str) -> str:
    return text.translate(str.maketrans("", "", string.punctuation))


STYLES: tuple[Callable[[str], str], ...] = (
    _without_punctuation,
    lambda text: " ".join(word for word in text.split() if len(word) > 3) or text,
    lambda text: " ".join(word[:6] for word in text.split()),
    lambda text: text[: max(20, len(text) * 2 // 3)],
    lambda text: text.replace("the ", "").replace("The ", ""),
)
"""How another preparation of the same texts differs: no punctuation, no short words, stems, cut off, no
articles."""
