"""From records to `QueryBatch` columns: values are checked here, many rows at once.

Every row's result depends on that row only, so that however a log is cut into batches, the columns are
the same. Only the width to which `probabilities` is padded may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.query import NO_LABEL, DeadLetter, FloatArray, IntArray, Record
from detector.records import Records, as_records
from models.compiled import jit

FLOAT32_MAX = float(np.finfo(np.float32).max)
OVERSHOOT = 1e-6
"""How far a probability may lie outside [0, 1], by rounding; it is clipped."""

_BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class QueryBatch:
    """Columns of n queries of one model with d input numbers each, in the shard's order.

    inputs [n, d]           float64, finite, within the float32 range
    probabilities [n, k]    float64 in [0, 1]; NaN where a record gives none; k may be 0
    confidence [n]          float64 in [0, 1], the top probability; NaN where unknown
    margin [n]              float64 in [0, 1], top minus second probability; NaN where unknown
    labels [n]              int64 code of the predicted label, `NO_LABEL` where unknown
    timestamps [n]          float64, seconds since the epoch
    records [n]             the records themselves, for ids
    """

    model_id: str
    inputs: FloatArray
    probabilities: FloatArray
    confidence: FloatArray
    margin: FloatArray
    labels: IntArray
    timestamps: FloatArray
    records: Records

    def __len__(self) -> int:
        return len(self.records)

    def part(self, begin: int, end: int) -> QueryBatch:
        """Queries begin..end, as views."""
        return QueryBatch(
            self.model_id,
            self.inputs[begin:end],
            self.probabilities[begin:end],
            self.confidence[begin:end],
            self.margin[begin:end],
            self.labels[begin:end],
            self.timestamps[begin:end],
            self.records[begin:end],
        )


def to_batch(
    model_id: str, records: Sequence[Record], source: str, partition: int
) -> tuple[QueryBatch, list[DeadLetter]]:
    """Columns of n records of one model, all texts or all of one input length, in their order.

    Rows with an input that is not finite in float32 (`input_not_finite`) or with a probability or
    confidence outside [0, 1] (`bad_probability`) leave as dead letters. Raises ValueError when the
    records' inputs differ in length or kind.

    One probability alone is that of the positive class of a binary model. Without a confidence the top
    probability is taken; without a label the most probable class.
    """
    records = as_records(records)
    inputs = records.input_matrix()
    probabilities, counts = records.answer_matrix(), records.answer_lengths()
    given = records.given_confidences()
    bad_input = first_beyond(inputs, FLOAT32_MAX)
    bad_probability, top, margin, best = read_answers(probabilities, counts)
    bad_given = _outside(given) & ~np.isnan(given) if given is not None else np.zeros(len(records), np.bool_)
    good = (bad_input < 0) & (bad_probability < 0) & ~bad_given

    letters: list[DeadLetter] = []
    kept = records
    if not good.all():
        for row in np.flatnonzero(~good).tolist():
            record = records[row]
            reason, detail = _fault(record, int(bad_input[row]), int(bad_probability[row]))
            letters.append(DeadLetter(reason, detail, record.raw, source, partition, record.offset))
        kept = records.take(np.flatnonzero(good))
        inputs, probabilities = inputs[good], probabilities[good]
        top, margin, best = top[good], margin[good], best[good]
        given = None if given is None else given[good]

    confidence = top if given is None else np.where(np.isnan(given), top, np.clip(given, 0.0, 1.0))
    batch = QueryBatch(
        model_id=model_id,
        inputs=inputs,
        probabilities=probabilities,
        confidence=confidence,
        margin=margin,
        labels=kept.label_codes(best),
        timestamps=kept.times,
        records=kept,
    )
    return batch, letters


def _outside(values: FloatArray) -> _BoolArray:
    """Which values are no probability: NaN, or outside [0, 1] by more than rounding."""
    return ~((values >= -OVERSHOOT) & (values <= 1.0 + OVERSHOOT))


def _fault(record: Record, bad_input: int, bad_probability: int) -> tuple[str, str]:
    """Reason and detail of one bad row, the first fault in reading order."""
    if bad_input >= 0:
        number = float(record.input[bad_input])
        return "input_not_finite", f"input[{bad_input}]: is {number!r}, not a float32 number"
    if bad_probability >= 0 and record.probabilities is not None:
        number = float(record.probabilities[bad_probability])
        return "bad_probability", f"probabilities[{bad_probability}]: is {number!r}, not in [0, 1]"
    return "bad_probability", f"confidence: is {record.confidence!r}, not in [0, 1]"


@jit
def first_beyond(values: Any, limit: float) -> Any:
    """Per row of values [n, d], the first that is NaN or of a size beyond `limit`; -1 without one: [n]."""
    out = np.full(values.shape[0], -1)
    for i in range(values.shape[0]):
        beyond = 0
        for j in range(values.shape[1]):  # without a branch, so that it runs over many at once
            beyond += not abs(values[i, j]) <= limit
        if beyond > 0:
            for j in range(values.shape[1]):
                if not abs(values[i, j]) <= limit:
                    out[i] = j
                    break
    return out


@jit
def read_answers(probabilities: Any, counts: Any) -> Any:
    """What the probabilities [n, k] say, of which the first counts [n] are a row's own; those are clipped.

    Returns the first that is none (-1: all are), the top probability, its lead over the second, and its
    class, each [n]; NaN or NO_LABEL where unknown. One alone is that of the positive class.
    """
    n = probabilities.shape[0]
    bad = np.full(n, -1)
    top, margin, best = np.full(n, np.nan), np.full(n, np.nan), np.full(n, NO_LABEL)
    for i in range(n):
        first, second, which = -np.inf, -np.inf, NO_LABEL
        for c in range(counts[i]):
            p = probabilities[i, c]
            if not (p >= -OVERSHOOT and p <= 1.0 + OVERSHOOT):
                bad[i] = c
                break
            p = min(max(p, 0.0), 1.0)
            probabilities[i, c] = p
            # Without a branch: nothing could foresee which class leads.
            second = max(second, min(first, p))
            which = c if p > first else which
            first = max(first, p)
        best[i] = which
        if counts[i] >= 2:
            top[i] = first
            margin[i] = first - second
        elif counts[i] == 1:
            top[i] = max(first, 1.0 - first)
            margin[i] = abs(2.0 * first - 1.0)
            best[i] = 1 if first >= 0.5 else 0
    return bad, top, margin, best
