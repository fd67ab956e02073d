"""What the inputs of one model usually look like: the units that the feature kernels measure in.

Learned once from a sample of benign rows. Columns are centred and scaled robustly, so multiplying or
shifting a column in the log changes no feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from detector.features.combinations import count_again, learn_combinations, nothing
from detector.features.grids import GRID, OFF_STEP, discrete_values, even_steps
from detector.features.halves import halves_of
from detector.features.projection import projection
from detector.features.text import are_texts
from detector.query import FloatArray

COMPONENTS = 8
"""Dimensions of the subspace that benign inputs are expected to lie near."""
ODD_FROM, STRANGE_FROM = 0.90, 0.99
"""Quantiles of benign inputs beyond which one is odd, and strange."""
WILD, FARTHEST_OUT, NEARLY_ALL = 6.0, 1000.0, 0.9
"""How far out a row is wild, in distances of the median row; what a single column may add, in its own median
deviations; and the share of rows that must remain for the wild ones to be left out."""
MINIMUM_HALF = 32
"""Rows of each half below which they are not told apart."""
LARGEST = float(np.finfo(np.float32).max)
SMALLEST_SCALE = 1e-30
"""A column that varies less counts as constant; with `LARGEST` this keeps squares of z finite."""
SMALLEST_DISTANCE = 1e-9
"""Smallest typical distance, in scales of the columns: a sample of rounding errors has no unit."""


class Inputs(NamedTuple):
    """Arrays over the d columns, handed to the kernels as they are.

    What benign inputs are like has an axis of h halves in front: one, learned from all of the sample, or
    where a history is measured two, each learned without the inputs that it is asked of (`halves`).

    location, weight [d]    z = (x - location) * weight; weight 0 for a column that never varied
    grid [h, d, GRID], distinct [h, d]   sorted benign values of a discrete column; distinct 0: continuous
    origin, per_step [d]    a continuous column's benign values lie whole steps from its origin: per_step is 1
                            over the step; 0: on no such lattice
    per_range [d]           1 over the width of the benign range; 0 for a column that never varied
    low, high [h, d]        benign range, widened
    tolerance [d]           what counts as equal
    odd [4]                 log distance to the benign subspace, and share of columns off their benign values,
                            beyond which an input is odd, and those beyond which it is strange
    components [h, c, d]    orthonormal directions in which benign z vary most
    asked ... conflict      which values, and pairs of values, are rare: as in `Combinations`
    texts [1]               1 where inputs are vectors of texts, or 0
    bucket [d, 2], sign [d, 2]     the sparse projection (Achlioptas 2003) to min(d, SKETCH) numbers
    """

    location: FloatArray
    weight: FloatArray
    grid: FloatArray
    distinct: npt.NDArray[np.int64]
    origin: FloatArray
    per_step: FloatArray
    per_range: FloatArray
    low: FloatArray
    high: FloatArray
    tolerance: FloatArray
    odd: FloatArray
    components: FloatArray
    asked: npt.NDArray[np.int64]
    cuts: FloatArray
    rarity: npt.NDArray[np.float32]
    pairs: npt.NDArray[np.uint8]
    conflict: npt.NDArray[np.float32]
    texts: npt.NDArray[np.int64]
    bucket: npt.NDArray[np.int64]
    sign: FloatArray


def of_texts(inputs: Inputs) -> bool:
    """Whether they are the units of vectors of texts."""
    return bool(inputs.texts[0])


def unlearned(d: int) -> Inputs:
    """Units before anything was seen: raw numbers, no grid, no subspace."""
    bucket, sign = projection(d)
    return Inputs(
        location=np.zeros(d),
        weight=np.ones(d),
        grid=np.zeros((1, d, GRID)),
        distinct=np.zeros((1, d), dtype=np.int64),
        origin=np.zeros(d),
        per_step=np.zeros(d),
        per_range=np.ones(d),
        low=np.full((1, d), -np.inf),
        high=np.full((1, d), np.inf),
        tolerance=np.zeros(d),
        odd=np.full(4, np.inf),
        components=np.zeros((1, 0, d)),
        **nothing()._asdict(),
        texts=np.zeros(1, dtype=np.int64),
        bucket=bucket,
        sign=sign,
    )


def learn(sample: FloatArray) -> Inputs:
    """Learn the units from benign rows [n, d], n >= 2.

    The scale of a column is the larger of its normalised interquartile range and its standard deviation
    with the outermost 1% pulled in, so that a few wild rows do not shrink everybody else's steps.
    """
    sample = _without_wild_rows(np.clip(sample, -LARGEST, LARGEST))
    n, d = len(sample), sample.shape[1]
    base = unlearned(d)
    location = np.median(sample, axis=0)
    quartiles = np.quantile(sample, (0.01, 0.25, 0.75, 0.99), axis=0)
    clipped = np.clip(sample, quartiles[0], quartiles[3])
    scale = np.maximum((quartiles[2] - quartiles[1]) / 1.349, clipped.std(axis=0))
    scale = np.where(scale > 0, scale, sample.std(axis=0))
    tiny = 1e-9 * np.maximum(np.abs(location), np.abs(clipped).max(axis=0))
    varies = scale > np.maximum(tiny, SMALLEST_SCALE)
    weight = np.where(varies, 1.0 / np.where(varies, scale, 1.0), 0.0)
    half = n // 2
    pairs = np.sqrt((((sample[:half] - sample[half : 2 * half]) * weight) ** 2).sum(axis=1))
    typical = float(np.median(pairs[pairs > 0])) if (pairs > 0).any() else 1.0
    weight = weight / max(typical, SMALLEST_DISTANCE)

    grid, distinct = discrete_values(sample)
    origin, per_step = even_steps(sample, distinct)
    spread = sample.max(axis=0) - sample.min(axis=0)
    tolerance = np.maximum(1e-6 * spread, tiny)
    learned = base._replace(
        location=location,
        weight=weight,
        grid=grid[None],
        distinct=distinct[None],
        origin=origin,
        per_step=per_step,
        per_range=np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0),
        tolerance=tolerance,
        texts=np.array([are_texts(sample)], dtype=np.int64),
        **learn_combinations(sample, grid, distinct)._asdict(),
    )
    low, high = _range(sample, learned)
    learned = learned._replace(
        low=low[None], high=high[None], components=_subspace(clipped, location, weight)[None]
    )
    return learned._replace(odd=usual_oddness(sample, learned))


def learn_apart(sample: FloatArray, whole: Inputs) -> Inputs:
    """The units `whole` that were learned from benign rows [n, d], in two halves: what benign inputs are
    like is learned for each half from the rows of the other. With too few rows they are `whole`."""
    sample = _without_wild_rows(np.clip(sample, -LARGEST, LARGEST))
    mine = halves_of(sample)
    if min((mine == 0).sum(), (mine == 1).sum()) < MINIMUM_HALF:
        return whole
    halves = [_like(sample[mine != half], whole) for half in (0, 1)]
    apart = whole._replace(**{name: np.stack([half[name] for half in halves]) for name in halves[0]})
    return apart._replace(odd=usual_oddness(sample, apart))


def _like(sample: FloatArray, whole: Inputs) -> dict[str, npt.NDArray[np.generic]]:
    """What these benign rows [n, d] are like, in the units `whole`: its arrays that have halves."""
    grid, distinct = np.zeros_like(whole.grid[0]), np.zeros_like(whole.distinct[0])
    for j in np.flatnonzero(whole.distinct[0] > 0).tolist():
        values = whole.grid[0, j, : whole.distinct[0, j]]
        here = values[np.isin(values, sample[:, j])]
        grid[j, : len(here)], distinct[j] = here, len(here)
    low, high = _range(sample, whole)
    clipped = np.clip(sample, *np.quantile(sample, (0.01, 0.99), axis=0))
    components = np.zeros_like(whole.components[0])
    found = _subspace(clipped, whole.location, whole.weight)[: len(components)]
    components[: len(found)] = found
    counted = count_again(sample, whole.asked, whole.cuts, whole.pairs)
    return {
        "grid": grid,
        "distinct": distinct,
        "low": low,
        "high": high,
        "components": components,
        "rarity": counted.rarity[0],
        "conflict": counted.conflict[0],
    }


def _range(sample: FloatArray, units: Inputs) -> tuple[FloatArray, FloatArray]:
    """`low` and `high` [d] of benign rows [n, d]."""
    low, high = sample.min(axis=0), sample.max(axis=0)
    margin = np.where(units.distinct[0] > 0, 0.0, 0.1 * (high - low)) + units.tolerance
    return low - margin, high + margin


def _subspace(clipped: FloatArray, location: FloatArray, weight: FloatArray) -> FloatArray:
    """`components` [c, d] of benign rows [n, d] whose outermost values are pulled in."""
    z = (clipped - location) * weight
    return principal_directions(z - z.mean(axis=0), min(COMPONENTS, max(1, clipped.shape[1] // 3)))


def _without_wild_rows(sample: FloatArray) -> FloatArray:
    """The rows [n, d] that lie less than `WILD` times as far out as half of them do, if nearly all do: a few
    attackers far outside must not set the scale."""
    location = np.median(sample, axis=0)
    away = np.abs(sample - location)
    scale = np.median(away, axis=0)
    asked = scale > SMALLEST_SCALE
    if not asked.any():
        return sample
    out = np.minimum(away[:, asked] / scale[asked], FARTHEST_OUT).mean(axis=1)
    kept = out <= WILD * np.median(out)
    return sample[kept] if kept.mean() >= NEARLY_ALL and kept.sum() >= 2 else sample


def usual_oddness(sample: FloatArray, inputs: Inputs) -> FloatArray:
    """`Inputs.odd` of benign rows [n, d]."""
    away, share = np.empty(len(sample)), np.empty(len(sample))
    mine = halves_of(sample) if len(inputs.low) > 1 else np.zeros(len(sample), dtype=np.int64)
    for half in range(len(inputs.low)):
        rows = np.flatnonzero(mine == half)
        away[rows], share[rows] = _oddness(sample[rows], inputs, half)
    return np.array([np.quantile(x, q) for q in (ODD_FROM, STRANGE_FROM) for x in (away, share)])


def _oddness(rows: FloatArray, inputs: Inputs, half: int) -> tuple[FloatArray, FloatArray]:
    """Log distance to the benign subspace, and share of columns off their benign values, of rows [n, d]: [n]
    each."""
    z = (rows - inputs.location) * inputs.weight
    off = (rows < inputs.low[half]) | (rows > inputs.high[half])
    for j in np.flatnonzero(inputs.distinct[half] > 0).tolist():
        values = inputs.grid[half, j, : inputs.distinct[half, j]]
        off[:, j] |= np.abs(rows[:, j, None] - values).min(axis=1) > inputs.tolerance[j]
    lattice = (rows - inputs.origin) * inputs.per_step
    off |= np.abs(lattice - np.rint(lattice)) > OFF_STEP
    rest = (z**2).sum(axis=1) - ((z @ inputs.components[half].T) ** 2).sum(axis=1)
    return np.log(np.sqrt(np.maximum(rest, 0.0)) + 1e-9), off.mean(axis=1)


def principal_directions(z: FloatArray, most: int) -> FloatArray:
    """At most `most` orthonormal directions [c, d] in which the centred rows z [n, d] vary most.

    From the smaller of the two Gram matrices: a full decomposition of long inputs would take minutes.
    """
    n, d = z.shape
    gram = z @ z.T if n < d else z.T @ z
    values, vectors = eigh(gram, subset_by_index=(max(0, len(gram) - most), len(gram) - 1))
    vectors = vectors[:, values > 1e-12 * max(values[-1], 1e-300)][:, ::-1]
    if vectors.shape[1] == 0:
        return np.zeros((0, d))
    # Orthonormal again: small eigenvalues of a Gram matrix have lost half of their digits.
    return np.ascontiguousarray(np.linalg.qr(z.T @ vectors if n < d else vectors)[0].T)


def to_arrays(inputs: Inputs) -> dict[str, npt.NDArray[np.generic]]:
    """Named arrays for a profile or state file; the projection follows from d."""
    return {k: v for k, v in inputs._asdict().items() if k not in ("bucket", "sign")}


def from_arrays(arrays: Mapping[str, npt.NDArray[np.generic]]) -> Inputs:
    """The inverse of `to_arrays`."""
    d = len(arrays["location"])
    bucket, sign = projection(d)

    def numbers(name: str) -> FloatArray:
        return np.ascontiguousarray(arrays[name], dtype=np.float64)

    return Inputs(
        location=numbers("location"),
        weight=numbers("weight"),
        grid=numbers("grid"),
        distinct=np.ascontiguousarray(arrays["distinct"], dtype=np.int64),
        origin=numbers("origin"),
        per_step=numbers("per_step"),
        per_range=numbers("per_range"),
        low=numbers("low"),
        high=numbers("high"),
        tolerance=numbers("tolerance"),
        odd=numbers("odd"),
        components=numbers("components"),
        asked=np.ascontiguousarray(arrays["asked"], dtype=np.int64),
        cuts=numbers("cuts"),
        rarity=np.ascontiguousarray(arrays["rarity"], dtype=np.float32),
        pairs=np.ascontiguousarray(arrays["pairs"], dtype=np.uint8),
        conflict=np.ascontiguousarray(arrays["conflict"], dtype=np.float32),
        texts=np.ascontiguousarray(arrays.get("texts", np.zeros(1)), dtype=np.int64),  # older files lack it
        bucket=bucket,
        sign=sign,
    )
