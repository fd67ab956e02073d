"""Which values benign inputs usually have, and which pairs of values they have together.

A clone's queries, or a search between the records of a table, may look natural column by column and still
join what never goes together. So columns are cut into a few bins, and for the pairs of columns that say most
about each other it is kept how much rarer each pair of bins is than if the columns had nothing to do with
each other. This is the second order of a distribution, as in a dependence tree (Chow and Liu 1968), but with
several partners a column: only what is rarer than by chance counts, and one unlikely partner is enough.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.features.forget import blend
from detector.features.layout import RARE_PAIRS, RARE_VALUES
from detector.query import FloatArray
from models.compiled import inlined, part

COLUMNS = 64
"""Columns that are asked at most; of more, a fixed random choice of those that vary."""
BINS = 8
CUTS = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
"""Quantiles between which the bins of a column lie that has more than BINS values: what is at an end is rare
already by itself, and its company says most."""
PARTNERS, PAIRS = 8, 128
"""Pairs are made of each column and those that say most about it, and kept are the strongest of all."""
NO_CUT = float(np.finfo(np.float64).max)
"""No value lies above it."""
UNSURE = 0.5
"""Weight of "as often as by chance", in rows: how often a pair is seen, over how often it would be by chance,
has a gamma prior with mean 1 (DuMouchel 1999). Where hardly any row is expected, none says nothing."""


class Combinations(NamedTuple):
    """m columns and k pairs of them.

    asked [m]               the columns
    cuts [BINS - 1, m]      a value is in the bin whose number is how many cuts it lies above
    rarity [h, m, BINS]     -ln of the share of benign rows in the bin, by halves as in `Inputs`
    pairs [k, 2]            places in `asked`
    conflict [h, k, BINS, BINS]   by how much the pair of bins is rarer than by chance, in nats, at least 0
    """

    asked: npt.NDArray[np.int64]
    cuts: FloatArray
    rarity: npt.NDArray[np.float32]
    pairs: npt.NDArray[np.uint8]
    conflict: npt.NDArray[np.float32]


def nothing() -> Combinations:
    """Of no columns: there is no opinion."""
    return Combinations(
        np.zeros(0, dtype=np.int64),
        np.zeros((BINS - 1, 0)),
        np.zeros((1, 0, BINS), dtype=np.float32),
        np.zeros((0, 2), dtype=np.uint8),
        np.zeros((1, 0, BINS, BINS), dtype=np.float32),
    )


def learn_combinations(sample: FloatArray, grid: FloatArray, distinct: npt.NDArray[np.int64]) -> Combinations:
    """Learn from benign rows [n, d], n >= 2; the values grid [d, GRID] of discrete columns, and how many
    [d], 0: continuous."""
    asked = np.flatnonzero((sample != sample[0]).any(axis=0))
    if len(asked) > COLUMNS:
        asked = np.sort(np.random.default_rng(sample.shape[1]).choice(asked, COLUMNS, replace=False))
    m = len(asked)
    if m == 0:
        return nothing()
    cuts = np.full((BINS - 1, m), NO_CUT)
    for at, j in enumerate(asked.tolist()):
        few = 2 <= distinct[j] <= BINS
        values = grid[j, : distinct[j]]
        own = (values[1:] + values[:-1]) / 2.0 if few else np.unique(np.quantile(sample[:, j], CUTS))
        cuts[: len(own), at] = own
    return _counted(sample, asked, cuts, None)


def count_again(
    sample: FloatArray,
    asked: npt.NDArray[np.int64],
    cuts: FloatArray,
    pairs: npt.NDArray[np.uint8],
) -> Combinations:
    """How rare the same values and pairs are among other benign rows [n, d], n >= 1."""
    return _counted(sample, asked, cuts, pairs.astype(np.int64))


def _counted(
    sample: FloatArray,
    asked: npt.NDArray[np.int64],
    cuts: FloatArray,
    pairs: npt.NDArray[np.int64] | None,
) -> Combinations:
    """What rows [n, d] say in these bins of these columns, and of these pairs or else the strongest."""
    n, m = len(sample), len(asked)
    bins = (sample[:, None, asked] > cuts).sum(axis=1)
    row, place = np.arange(n)[:, None], np.arange(m)
    shown = np.zeros((n, m, BINS), dtype=np.float32)
    shown[row, place, bins] = 1.0
    share = (shown.sum(axis=0, dtype=np.float64) + UNSURE) / (n + UNSURE * BINS)
    flat = shown.reshape(n, -1)
    # Whole numbers below 2**24: exact in float32, whatever the order of the sums.
    together = (flat.T @ flat).reshape(m, BINS, m, BINS).transpose(0, 2, 1, 3).astype(np.float64)
    chance = n * share[:, None, :, None] * share[None, :, None, :]
    pairs = _strongest(together, chance) if pairs is None else pairs
    a, b = pairs.T
    ratio = (together[a, b] + UNSURE) / (chance[a, b] + UNSURE)
    return Combinations(
        asked=asked,
        cuts=cuts,
        rarity=-np.log(share).astype(np.float32)[None],
        pairs=pairs.astype(np.uint8),
        conflict=np.maximum(-np.log(ratio), 0.0).astype(np.float32)[None],
    )


def _strongest(together: FloatArray, chance: FloatArray) -> npt.NDArray[np.int64]:
    """The pairs [k, 2] to keep, from how many rows have two bins together, and would by chance
    [m, m, BINS, BINS]."""
    m = len(together)
    known = np.where(together > 0, together * np.log(np.where(together > 0, together, 1.0) / chance), 0.0)
    told = known.sum(axis=(2, 3))
    np.fill_diagonal(told, -np.inf)
    partners = np.argsort(-told, axis=1, kind="stable")[:, : min(PARTNERS, m - 1)]
    each = np.stack([np.repeat(np.arange(m), partners.shape[1]), partners.ravel()], axis=1)
    pairs = np.unique(np.sort(each, axis=1), axis=0).reshape(-1, 2)
    strongest = np.argsort(-told[pairs[:, 0], pairs[:, 1]], kind="stable")[:PAIRS]
    return np.asarray(pairs[np.sort(strongest)], dtype=np.int64)


@inlined
def see_combinations(x: Any, inputs: Any, half: int, row: Any, weight: float, values: Any, bins: Any) -> None:
    """Account for one raw input x [d], by what `half` says of benign ones. values float64 and
    bins uint64 [COLUMNS] are overwritten.

    Cost O(7 m + k), at most 64 columns and 128 pairs.
    """
    asked = inputs.asked
    if asked.shape[0] == 0:
        return
    for j in range(asked.shape[0]):
        values[j] = x[asked[j]]
    _find_bins(values, inputs.cuts, asked.shape[0], bins)
    blend(row, RARE_VALUES, _mean_rarity(bins, part(inputs.rarity, half)), weight)
    if inputs.pairs.shape[0] > 0:
        conflict = part(inputs.conflict, half)
        blend(row, RARE_PAIRS, _mean_conflict(bins, inputs.pairs, conflict), weight)


@inlined
def _find_bins(values: Any, cuts: Any, m: int, bins: Any) -> None:
    a, b, c, d = part(cuts, 0), part(cuts, 1), part(cuts, 2), part(cuts, 3)
    e, f, g = part(cuts, 4), part(cuts, 5), part(cuts, 6)
    one = np.uint64
    for j in range(m):
        v = values[j]
        low = one(v > a[j]) + one(v > b[j]) + one(v > c[j]) + one(v > d[j])
        bins[j] = low + one(v > e[j]) + one(v > f[j]) + one(v > g[j])


@inlined
def _mean_rarity(bins: Any, rarity: Any) -> float:
    m = rarity.shape[0]
    # Sums side by side, here and below: each alone would wait for its last addition.
    one, other = 0.0, 0.0
    for j in range(0, m - 1, 2):
        one += part(rarity, j)[bins[j]]
        other += part(rarity, j + 1)[bins[j + 1]]
    if m % 2 == 1:
        one += part(rarity, m - 1)[bins[m - 1]]
    return float((one + other) / m)


@inlined
def _mean_conflict(bins: Any, pairs: Any, conflict: Any) -> float:
    k = pairs.shape[0]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for p in range(0, k - 3, 4):
        a += _between(bins, pairs, conflict, p)
        b += _between(bins, pairs, conflict, p + 1)
        c += _between(bins, pairs, conflict, p + 2)
        d += _between(bins, pairs, conflict, p + 3)
    for p in range(k - k % 4, k):
        a += _between(bins, pairs, conflict, p)
    return float((a + b + c + d) / k)


@inlined
def _between(bins: Any, pairs: Any, conflict: Any, p: int) -> Any:
    pair = part(pairs, p)
    return part(part(conflict, p), bins[pair[0]])[bins[pair[1]]]
