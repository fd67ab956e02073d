"""A data set of texts: paragraphs from the documentation of installed packages, as the detector's vectors.

The task is a real one: which part of which package is the paragraph about? A vector counts character
n-grams within words and has length 1, so the vector of two texts pasted together is the sum of theirs,
scaled back to length 1; and a word more is a small vector more. That is how clients edit texts here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from detector.features.text import vectorise_many
from detector.query import FloatArray, IntArray

TOPICS = (
    ("scipy", "stats"),
    ("scipy", "optimize"),
    ("scipy", "signal"),
    ("sklearn", "linear_model"),
    ("sklearn", "metrics"),
)
"""The classes: package and folder."""
FOREIGN = ("numpy", "lib")
PER_TOPIC, DECIMALS = 440, 8
CHARACTERS, WORDS, LETTERS = (100, 700), 15, 0.85
"""A paragraph has so many characters, at least so many words, and so large a share of letters and spaces."""


WORD = 0.15
"""The length of one word's vector beside a paragraph's, some 50 words long."""


def texts(seed: int) -> tuple[FloatArray, IntArray]:
    """Vectors [n, 256] of as many paragraphs of each topic, others for every seed, and topics [n]."""
    rng = np.random.default_rng([seed, 10])
    chosen = [rng.permutation(len(_vectors(*topic)))[:PER_TOPIC] for topic in TOPICS]
    rows = [_vectors(*topic)[mine] for topic, mine in zip(TOPICS, chosen, strict=True)]
    return np.vstack(rows), np.repeat(np.arange(len(TOPICS)), [len(mine) for mine in chosen])


def foreign_texts(rng: np.random.Generator, n: int) -> FloatArray:
    """Vectors [n, 256] of paragraphs about something else."""
    pool = _vectors(*FOREIGN)
    return pool[rng.integers(0, len(pool), n)]


def some_words(rng: np.random.Generator, n: int) -> FloatArray:
    """Vectors [n, 256] of single words, as they occur in the paragraphs."""
    pool = _words()
    return pool[rng.integers(0, len(pool), n)]


def as_vectors(texts: Sequence[str]) -> FloatArray:
    """Vectors [n, 256] of texts, as a log shows them."""
    return np.round(vectorise_many(texts), DECIMALS) + 0.0


def to_length_one(x: FloatArray) -> FloatArray:
    """Vectors [n, d] of texts from sums of such; rows that have length 1 already stay as they are."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    off = (np.abs(length - 1.0) > 1e-6) & (length > 0.0)
    return np.asarray(np.round(x / np.where(off, length, 1.0), DECIMALS) + 0.0)


@cache
def _vectors(package: str, folder: str) -> FloatArray:
    return as_vectors(paragraphs(package, folder))


@cache
def _words() -> FloatArray:
    words = {word.lower() for topic in TOPICS for text in paragraphs(*topic) for word in text.split()}
    return as_vectors(sorted(w for w in words if w.isalpha() and len(w) > 3))


@cache
def paragraphs(package: str, folder: str) -> tuple[str, ...]:
    """Running text out of all docstrings, each once, in the order of files and lines."""
    return tuple(dict.fromkeys(_blocks(package, folder)))


def trees(package: str, folder: str = ".") -> Iterator[ast.Module]:
    """The package's modules in that folder and below, but its tests, parsed. Raises ValueError."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"the package {package} is not installed; its documentation is a data set")
    for path in sorted((Path(spec.submodule_search_locations[0]) / folder).rglob("*.py")):
        if "tests" not in path.parts:
            yield ast.parse(path.read_text(encoding="utf-8"))


def _blocks(package: str, folder: str) -> Iterator[str]:
    for tree in trees(package, folder):
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for block in (ast.get_docstring(node) or "").split("\n\n"):
                    text = " ".join(block.split())
                    letters = sum(character.isalpha() or character == " " for character in text)
                    long_enough = CHARACTERS[0] <= len(text) <= CHARACTERS[1] and len(text.split()) >= WORDS
                    if long_enough and letters > LETTERS * len(text):
                        yield text
