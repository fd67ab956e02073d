"""Text inputs as vectors: hashed character n-grams, so that near-duplicate prompts lie near each other.

No vocabulary is learnt: the same text gives the same vector on every machine and in every profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from detector.query import FloatArray

DIMENSIONS = 256
MAX_CHARACTERS = 16_384
"""Characters of a text that count: bounds the time that one hostile record can take."""


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
    sparse = _vectorizer().transform([text[:MAX_CHARACTERS] for text in texts])
    return np.asarray(sparse.toarray(), dtype=np.float64)


def vectorise(text: str) -> FloatArray:
    """The vector [256] of one text."""
    vector: FloatArray = vectorise_many([text])[0]
    return vector
