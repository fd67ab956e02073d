"""Text inputs as vectors: hashed character n-grams, so that near-duplicate prompts lie near each other.

No vocabulary is learnt: the same text gives the same vector on every machine and in every profile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from detector.query import FloatArray

DIMENSIONS = 256
MAX_CHARACTERS = 16_384
"""Characters of a text that are looked at, half at either end: bounds the time that one hostile record can
take."""
MANY_COLUMNS, NEARLY_ONE, EXACT, NEARLY_ALL = 64, 0.9, 1e-3, 0.9
"""What vectors of texts are told by: columns; a smallest number of nearly 1 would be a one-hot row; rounding;
and the share of rows: a field may hold no text now and then."""


@cache
def _vectorizer() -> Any:
    """scikit-learn takes a second to import, and most logs hold no texts."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(2, 4),
        n_features=DIMENSIONS,
        alternate_sign=True,
        norm="l2",
        lowercase=True,
        dtype=np.float64,
    )


def vectorise_many(texts: Sequence[str]) -> FloatArray:
    """Vectors [n, 256] of n texts, each of length 1, or all zero for a text of white space only."""
    if not texts:
        return np.empty((0, DIMENSIONS))
    sparse = _vectorizer().transform([_shortened(text) for text in texts])
    return np.asarray(sparse.toarray(), dtype=np.float64)


def are_texts(rows: FloatArray) -> bool:
    """Whether nearly all rows [n, d] are vectors of texts, as those above or alike: of at least MANY_COLUMNS,
    each a whole number times the smallest, and of length 1. So are hashed words of whoever logs vectors."""
    if rows.shape[1] < MANY_COLUMNS or not len(rows):
        return False
    away = np.abs(rows)
    smallest = np.where(away > 0.0, away, np.inf).min(axis=1)
    length = np.sqrt((rows**2).sum(axis=1))
    some = (smallest < NEARLY_ONE) & (np.abs(length - 1.0) < EXACT)
    counts = rows[some] / smallest[some, None]
    whole = (np.abs(counts - np.rint(counts)) < EXACT).all(axis=1)
    return bool(whole.sum() >= NEARLY_ALL * len(rows))


def _shortened(text: str) -> str:
    """Both ends of a long text, and a digest of the whole between them.

    The digest keeps long texts apart that differ only in the middle: a search hidden there would otherwise
    pass for retries.
    """
    if len(text) <= MAX_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    half = MAX_CHARACTERS // 2
    return f"{text[:half]} {digest} {text[-half:]}"


def vectorise(text: str) -> FloatArray:
    """The vector [256] of one text."""
    vector: FloatArray = vectorise_many([text])[0]
    return vector
