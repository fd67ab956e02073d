"""Short and long texts of installed packages, with the real task to tell which package or part wrote them.

Messages are the errors that code raises (a line), summaries the first paragraphs of docstrings (a line or
two), paragraphs those of `benchmarks.traces.text`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from benchmarks.traces.text import FOREIGN, TOPICS, paragraphs, trees
from detector.query import IntArray

PACKAGES = ("scipy", "sklearn", "pandas", "numpy")
PER_CLASS, ENOUGH = 500, 800
"""Texts of a class, and how many are looked for to choose from: reading all of a package takes seconds."""
CHARACTERS, WORDS = (20, 160), 4
"""A message or summary has so many characters, and at least so many words."""
INSERTED = "it"
"""What stands in a message for a value that is only known when it is raised."""


class Texts(NamedTuple):
    """Texts that belong to the rows of a data set's three parts, in the same order."""

    train: tuple[str, ...]
    attacker: tuple[str, ...]
    live: tuple[str, ...]


def words_of(texts: Sequence[str]) -> list[str]:
    """The words of texts, once each."""
    return sorted({word for text in texts for word in text.split()})


def messages(seed: int) -> tuple[list[str], IntArray]:
    """Error messages, others for every seed, and which package raises them [n]."""
    return _some(seed, [_messages(package) for package in PACKAGES])


def summaries(seed: int) -> tuple[list[str], IntArray]:
    """First paragraphs of docstrings, others for every seed, and which package they are of [n]."""
    return _some(seed, [_summaries(package) for package in PACKAGES])


def manuals(seed: int) -> tuple[list[str], IntArray]:
    """Paragraphs of docstrings, others for every seed, and what they are about [n]."""
    return _some(seed, [paragraphs(*topic) for topic in TOPICS])


CORPORA: dict[str, Callable[[int], tuple[list[str], IntArray]]] = {
    "messages": messages,
    "summaries": summaries,
    "manuals": manuals,
}
"""Every corpus by name, as a function of the deployment's seed."""


def foreign(rng: np.random.Generator, n: int) -> list[str]:
    """n texts about something else."""
    pool = paragraphs(*FOREIGN)
    return [pool[which] for which in rng.integers(0, len(pool), n).tolist()]


def _some(seed: int, classes: list[tuple[str, ...]]) -> tuple[list[str], IntArray]:
    rng = np.random.default_rng([seed, 11])
    chosen = [[texts[i] for i in rng.permutation(len(texts))[:PER_CLASS].tolist()] for texts in classes]
    labels = np.repeat(np.arange(len(classes)), [len(texts) for texts in chosen])
    return [text for texts in chosen for text in texts], labels


@cache
def _messages(package: str) -> tuple[str, ...]:
    said = (
        _literal(node.exc.args[0])
        for tree in trees(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args
    )
    return _fitting(said)


@cache
def _summaries(package: str) -> tuple[str, ...]:
    said = (
        (ast.get_docstring(node) or "").split("\n\n")[0]
        for tree in trees(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )
    return _fitting(said)


def _fitting(said: Iterator[str]) -> tuple[str, ...]:
    texts: dict[str, None] = {}
    for raw in said:
        text = " ".join(raw.split())
        if CHARACTERS[0] <= len(text) <= CHARACTERS[1] and len(text.split()) >= WORDS:
            texts[text] = None
            if len(texts) == ENOUGH:
                break
    return tuple(texts)


def _literal(node: ast.expr) -> str:
    """The text of a string expression, as far as the code tells."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else INSERTED for part in node.values)
        return "".join(map(str, parts))
    if isinstance(node, ast.BinOp):
        return _literal(node.left) + (_literal(node.right) if isinstance(node.op, ast.Add) else "")
    return ""
