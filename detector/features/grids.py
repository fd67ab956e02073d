"""Which values the columns of benign inputs can have: a few, or those of an even lattice.

Grey values are whole numbers, money has two decimals, categories are codes. What a search computes seldom
keeps to that. The sample may hold a few rows of attackers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.query import FloatArray

GRID = 24
"""A column with at most this many distinct benign values is discrete and remembers them."""
LIKELY_SHARE, DISCRETE_SHARE = 0.9, 0.998
"""Shares of all rows, and of the usual ones, that a discrete column's values cover."""
MOST_STEPS = 4096
"""A finer lattice says more about how numbers are printed than about what they mean."""
SMALLEST_STEP = 1e-30
FRACTIONS = 6
"""The smallest difference of two values may be so many steps."""
ON_STEP, OFF_STEP = 0.02, 0.05
"""Distances from the lattice, in steps, that count as on it when it is learned and as off it afterwards."""
LATTICE_SHARE = 0.8
"""Share of all rows that lie on the lattice: some honest clients send computed numbers."""


def discrete_values(sample: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """`Inputs.grid` and `Inputs.distinct` of rows [n, d], a few of which may be an attacker's.

    A column is discrete when nearly all rows have one of few values. Rows that fail that in most columns
    which are discrete for nine rows in ten are not asked.
    """
    n, d = sample.shape
    usual = np.ones(n, dtype=np.bool_)
    likely: list[int] = []
    off: list[npt.NDArray[np.bool_]] = []
    for j in range(d):
        values, counts = np.unique(sample[:, j], return_counts=True)
        repeated = np.sort(counts)[-GRID:].clip(min=2).min() if len(counts) else 2
        common = np.isin(sample[:, j], values[counts >= repeated])
        if common.mean() >= LIKELY_SHARE and (counts >= repeated).sum() <= GRID:
            likely.append(j)
            off.append(~common)
    if likely:
        usual = np.mean(off, axis=0) < 0.5
    grid, distinct = np.zeros((d, GRID)), np.zeros(d, dtype=np.int64)
    for j in likely:
        values, counts = np.unique(sample[usual, j], return_counts=True)
        most = np.sort(values[np.argsort(-counts, kind="stable")[:GRID]])
        covered = np.isin(sample[usual, j], most).mean() if len(most) else 0.0
        if covered >= DISCRETE_SHARE and n >= 8 * len(most):
            grid[j, : len(most)] = most
            distinct[j] = len(most)
    return grid, distinct


def even_steps(sample: FloatArray, distinct: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """`Inputs.origin` and `Inputs.per_step` of rows [n, d]; a discrete column has no steps."""
    d = sample.shape[1]
    origin, per_step = np.zeros(d), np.zeros(d)
    for j in np.flatnonzero(distinct == 0).tolist():
        column = sample[:, j]
        values, counts = np.unique(column, return_counts=True)
        # A value that came twice is an honest one: computed numbers hardly ever repeat.
        common = values[counts > 1]
        if len(common) <= GRID:
            continue
        start = values[counts.argmax()]
        smallest = float(np.diff(common).min())
        spread = float(common[-1] - common[0])
        for part in range(1, FRACTIONS + 1):
            step = smallest / part
            if step < max(spread / MOST_STEPS, SMALLEST_STEP):
                break
            lattice = (column - start) / step
            if (np.abs(lattice - np.rint(lattice)) <= ON_STEP).mean() >= LATTICE_SHARE:
                origin[j], per_step[j] = start, 1.0 / step
                break
    return origin, per_step
