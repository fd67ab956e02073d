"""Records and dead letters in a form that compares every bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detector.query import DeadLetter, Record


def plain(found: tuple[Sequence[Record], list[DeadLetter]]) -> list[Any]:
    """A decoding: equal forms mean equal fields and types, and numbers equal to the last bit."""

    def numbers(values: Any) -> Any:
        return values if values is None or isinstance(values, str) else np.array(values, "<f8").tobytes()

    records, letters = found
    shown: list[Any] = []
    for one in records:
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        fields |= {"input": numbers(one.input), "probabilities": numbers(one.probabilities)}
        fields["kinds"] = [type(one.label), type(one.confidence), type(one.timestamp)]
        shown.append(fields)
    return [shown, letters]
