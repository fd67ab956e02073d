"""Statistics that forget: a plain mean at first, an exponential one once its memory is full."""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features.layout import LONG_MEMORY, MEMORY
from models.compiled import inlined


@inlined
def rate(count: float) -> float:
    """Weight of the `count`-th observation (from 1)."""
    return 1.0 / min(count, MEMORY)


@inlined
def slow_rate(count: float) -> float:
    """The same for a statistic of the longer memory."""
    return 1.0 / min(count, LONG_MEMORY)


@inlined
def blend(row: Any, column: int, value: float, weight: float) -> None:
    """Move statistic `column` of a session's row towards `value`."""
    row[column] += weight * (value - row[column])


@inlined
def spread_out(row: Any, mean: int, variance: int, value: float, weight: float) -> None:
    """Move a forgetting mean and the variance round it towards `value`.

    The variance itself is kept: the mean square less the squared mean would lose its digits in float32.
    """
    away = value - row[mean]
    row[variance] = (1.0 - weight) * (row[variance] + weight * away * away)
    row[mean] += weight * away


@inlined
def deviation(row: Any, variance: int) -> float:
    """Standard deviation from a forgetting variance."""
    return float(np.sqrt(row[variance]))
