"""Synthetic sessions through the real columns and the real kernel: queries in, rows of features by name out.

Arrays have the dtypes and layouts of production, so that the kernel is compiled once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.columns import QueryBatch, to_batch
from detector.features import layout
from detector.features.catalogue import NAMES
from detector.features.inputs import Inputs, unlearned
from detector.features.kernel import advance, scratch
from detector.features.layout import Slots
from detector.features.projection import SKETCH
from detector.query import FloatArray, IntArray, Record

GAP = 1800.0


class Measured(NamedTuple):
    """What the kernel made of a session (or several): evaluation points in order, and the state left."""

    rows: list[dict[str, float]]
    features: FloatArray
    series: FloatArray
    slots: Slots

    @property
    def last(self) -> dict[str, float]:
        """Features of the last evaluation point."""
        return self.rows[-1]


def session(
    x: FloatArray,
    probabilities: FloatArray | None = None,
    confidence: npt.NDArray[np.floating] | None = None,
    labels: Sequence[int] | IntArray | None = None,
    times: Sequence[float] | None = None,
) -> QueryBatch:
    """A batch of queries x [n, d], a second apart, with what answers the log is to have."""
    records = [
        Record(
            timestamp=float(times[i]) if times is not None else float(i),
            model_id="m",
            client_id="c",
            input=np.array(row, dtype=np.float64),
            probabilities=None if probabilities is None else [float(p) for p in probabilities[i]],
            confidence=None if confidence is None else float(confidence[i]),
            label=None if labels is None else int(labels[i]),
        )
        for i, row in enumerate(x)
    ]
    batch, dead = to_batch("m", records, "test", 0)
    assert not dead
    return batch


def measure(
    batch: QueryBatch,
    inputs: Inputs | None = None,
    cuts: Sequence[int] = (),
    slot: Sequence[int] | None = None,
    most: int = 1024,
) -> Measured:
    """Run the kernel over the batch, cut before the queries `cuts`, in units `inputs` (default: raw).

    `slot` [n] names each query's session, one for all by default; a session opens with its first query.
    The kernel is stopped after `most` evaluation points and called again, as the pipeline does.
    """
    n, d = batch.inputs.shape
    slots_of = np.zeros(n, dtype=np.int64) if slot is None else np.array(slot, dtype=np.int64)
    fresh = np.zeros(n, dtype=np.bool_)
    fresh[np.unique(slots_of, return_index=True)[1]] = True
    slots = layout.allocate(int(slots_of.max()) + 1, d, min(d, SKETCH))
    units = unlearned(d) if inputs is None else inputs
    found: list[tuple[FloatArray, FloatArray]] = []
    for start, stop in pairwise([0, *sorted(cuts), n]):
        x, p, confidence, margin, labels, times, where, opens = (
            np.ascontiguousarray(column[start:stop])
            for column in (
                batch.inputs,
                batch.probabilities,
                batch.confidence,
                batch.margin,
                batch.labels,
                batch.timestamps,
                slots_of,
                fresh,
            )
        )
        at, work = 0, scratch(x.shape[1], slots.centroid.shape[1])
        while at < stop - start:
            out_row, out_meta = np.zeros(most, dtype=np.int64), np.zeros((most, layout.META))
            features, series = np.zeros((most, len(NAMES))), np.zeros((most, layout.RECENT, 2))
            at, m = advance(
                slots,
                units,
                GAP,
                at,
                stop - start,
                most,
                where,
                opens,
                x,
                x.view(np.int64),
                p,
                confidence,
                margin,
                labels,
                times,
                np.zeros((stop - start, 2)),
                out_row,
                out_meta,
                features,
                series,
                work,
            )
            found.append((features[:m].copy(), series[:m].copy()))
    features = np.concatenate([f for f, _ in found])
    rows = [dict(zip(NAMES, row, strict=True)) for row in features.tolist()]
    return Measured(rows, features, np.concatenate([s for _, s in found]), slots)


def same_state(a: Slots, b: Slots) -> bool:
    """Whether two states are equal bit for bit."""

    def arrays(slots: Slots) -> list[npt.NDArray[np.generic]]:
        own = slots._asdict()
        return [*own.pop("blocks"), *own.values()]

    return all(x.tobytes() == y.tobytes() for x, y in zip(arrays(a), arrays(b), strict=True))
