"""From records to `QueryBatch` columns: values are checked here, many rows at once.

Every row's result depends on that row only, so that however a log is cut into batches, the columns are
the same. Only the width to which `probabilities` is padded may differ.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from detector.decoded import (
    HAS_CONFIDENCE,
    HAS_LABEL,
    HAS_PROBABILITIES,
    INPUT,
    PROBABILITIES,
    Decoded,
    times_of,
)
from detector.features.text import vectorise_many
from detector.query import NO_LABEL, DeadLetter, FloatArray, IntArray, Numbers, QueryBatch, Record
from models.compiled import jit

if TYPE_CHECKING:
    from typing_extensions import Buffer

FLOAT32_MAX = float(np.finfo(np.float32).max)
OVERSHOOT = 1e-6
"""How far a probability may lie outside [0, 1], by rounding; it is clipped."""

_BoolArray = npt.NDArray[np.bool_]


def label_code(label: int | str) -> int:
    """The code of a label in [0, 2^31): an integer in that range is its own, others are hashed."""
    if isinstance(label, int) and 0 <= label < 2**31:
        return label
    return zlib.crc32(str(label).encode("utf-8", "surrogatepass")) & 0x7FFFFFFF


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
    inputs = _inputs(records)
    probabilities, counts = _probabilities(records)
    given = _given(records)
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
        kept = [record for record, is_good in zip(records, good.tolist(), strict=True) if is_good]
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
        labels=_labels(kept, best),
        timestamps=times_of(kept),
        records=kept,
    )
    return batch, letters


def _inputs(records: Sequence[Record]) -> FloatArray:
    """Inputs [n, d]."""
    if not records:
        return np.empty((0, 0))
    if isinstance(records, Decoded):
        widths = records.lengths(INPUT)
        if (widths != widths[0]).any():
            raise ValueError("the inputs of a batch must have one length")
        return records.matrix(INPUT, int(widths[0]))
    rows = [record.input for record in records]
    kinds = set(map(type, rows))
    if str in kinds:
        if len(kinds) > 1:
            raise ValueError("a batch holds either texts or numbers, not both")
        return vectorise_many(cast(list[str], rows))
    lengths = set(map(len, rows))
    if len(lengths) > 1:
        raise ValueError("the inputs of a batch must have one length")
    return _packed(cast(list[Numbers], rows)).reshape(len(rows), lengths.pop())


def _packed(rows: Sequence[Numbers]) -> FloatArray:
    """The numbers of all rows, one row after the other, as one array."""
    packed = [array("d", row) if isinstance(row, list) else row for row in rows]
    return np.frombuffer(bytearray().join(cast("list[Buffer]", packed)), dtype=np.float64)


def _probabilities(records: Sequence[Record]) -> tuple[FloatArray, IntArray]:
    """Probabilities [n, k], NaN beyond each row's own, and how many are a row's own [n]."""
    if isinstance(records, Decoded):
        widths = np.where(records.given & HAS_PROBABILITIES, records.lengths(PROBABILITIES), 0)
        return records.matrix(PROBABILITIES, int(widths.max(initial=0))), widths
    rows = [record.probabilities for record in records]
    counts = np.array([0 if row is None else len(row) for row in rows], dtype=np.int64)
    longest = int(counts.max(initial=0))
    flat = _packed([row for row in rows if row is not None])
    if len(flat) == len(rows) * longest:
        return flat.reshape(len(rows), longest), counts
    padded = np.full((len(rows), longest), np.nan)
    padded[np.arange(longest) < counts[:, None]] = flat
    return padded, counts


def _given(records: Sequence[Record]) -> FloatArray | None:
    """The confidence that each record names itself [n], NaN without one; None where no record does."""
    if isinstance(records, Decoded):
        has = (records.given & HAS_CONFIDENCE) > 0
        return np.where(has, records.confidences, np.nan) if has.any() else None
    values = [record.confidence for record in records]
    if values.count(None) == len(values):
        return None
    # NaN stands for "none" here, so one that was given is made something else that is no confidence.
    return np.array(
        [np.nan if value is None else np.inf if math.isnan(value) else value for value in values],
        dtype=np.float64,
    )


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
        first, second = -np.inf, -np.inf
        for c in range(counts[i]):
            p = probabilities[i, c]
            if not (p >= -OVERSHOOT and p <= 1.0 + OVERSHOOT):
                bad[i] = c
                break
            p = min(max(p, 0.0), 1.0)
            probabilities[i, c] = p
            if p > first:
                first, second, best[i] = p, first, c
            elif p > second:
                second = p
        if counts[i] >= 2:
            top[i] = first
            margin[i] = first - second
        elif counts[i] == 1:
            top[i] = max(first, 1.0 - first)
            margin[i] = abs(2.0 * first - 1.0)
            best[i] = 1 if first >= 0.5 else 0
    return bad, top, margin, best


def _labels(records: Sequence[Record], best: IntArray) -> IntArray:
    """Label codes [n]: the record's own, else the most probable class."""
    own: list[int | str | None]
    if isinstance(records, Decoded):
        has = (records.given & HAS_LABEL) > 0
        if not has.any():
            return best
        own = [int(v) if h else None for v, h in zip(records.labels.tolist(), has.tolist(), strict=True)]
    else:
        own = [record.label for record in records]
    if own.count(None) == len(own):
        return best
    return np.array(
        [
            code if label is None else label_code(label)
            for label, code in zip(own, best.tolist(), strict=True)
        ],
        dtype=np.int64,
    )
