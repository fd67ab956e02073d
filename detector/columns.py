"""From records to `QueryBatch` columns: values are checked here, many rows at once.

Every row's result depends on that row only, so that however a log is cut into batches, the columns are
the same. Only the width to which `probabilities` is padded may differ.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from detector.features.text import vectorise_many
from detector.query import NO_LABEL, DeadLetter, FloatArray, IntArray, Numbers, QueryBatch, Record

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
    probabilities, known = _probabilities(records)
    given, has_given = _given(records)

    bad_inputs = ~(np.abs(inputs) <= FLOAT32_MAX)
    bad_probabilities = _outside(probabilities) & known
    bad_given = _outside(given) & has_given
    good = ~(bad_inputs.any(axis=1) | bad_probabilities.any(axis=1) | bad_given)

    letters: list[DeadLetter] = []
    kept = list(records)
    if not good.all():
        for row in np.flatnonzero(~good).tolist():
            reason, detail = _fault(records[row], bad_inputs[row], bad_probabilities[row])
            record = records[row]
            letters.append(DeadLetter(reason, detail, record.raw, source, partition, record.offset))
        kept = [record for record, is_good in zip(records, good.tolist(), strict=True) if is_good]
        inputs, probabilities, known, given = inputs[good], probabilities[good], known[good], given[good]

    probabilities = np.clip(probabilities, 0.0, 1.0)
    top, margin, best = _top(probabilities, known)
    confidence = np.where(np.isnan(given), top, np.clip(given, 0.0, 1.0))
    batch = QueryBatch(
        model_id=model_id,
        inputs=inputs,
        probabilities=probabilities,
        confidence=confidence,
        margin=margin,
        labels=_labels(kept, best),
        timestamps=np.array([record.timestamp for record in kept], dtype=np.float64),
        records=kept,
    )
    return batch, letters


def _inputs(records: Sequence[Record]) -> FloatArray:
    """Inputs [n, d]."""
    if not records:
        return np.empty((0, 0))
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


def _probabilities(records: Sequence[Record]) -> tuple[FloatArray, _BoolArray]:
    """Probabilities [n, k], NaN beyond each row's own, and which entries are a row's own [n, k]."""
    rows = [record.probabilities for record in records]
    counts = [0 if row is None else len(row) for row in rows]
    longest = max(counts, default=0)
    flat = _packed([row for row in rows if row is not None])
    if len(flat) == len(rows) * longest:
        return flat.reshape(len(rows), longest), np.ones((len(rows), longest), dtype=np.bool_)
    known = np.arange(longest) < np.array(counts)[:, None]
    padded = np.full((len(rows), longest), np.nan)
    padded[known] = flat
    return padded, known


def _outside(values: FloatArray) -> _BoolArray:
    """Which values are no probability: NaN, or outside [0, 1] by more than rounding."""
    return ~((values >= -OVERSHOOT) & (values <= 1.0 + OVERSHOOT))


def _fault(record: Record, bad_inputs: _BoolArray, bad_probabilities: _BoolArray) -> tuple[str, str]:
    """Reason and detail of one bad row, the first fault in reading order."""
    if bad_inputs.any():
        position = int(np.argmax(bad_inputs))
        return (
            "input_not_finite",
            f"input[{position}]: is {float(record.input[position])!r}, not a float32 number",
        )
    if bad_probabilities.any() and record.probabilities:
        position = int(np.argmax(bad_probabilities))
        return (
            "bad_probability",
            f"probabilities[{position}]: is {record.probabilities[position]!r}, not in [0, 1]",
        )
    return "bad_probability", f"confidence: is {record.confidence!r}, not in [0, 1]"


def _top(probabilities: FloatArray, known: _BoolArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Top probability, its lead over the second, and its class, each [n]; NaN or NO_LABEL if unknown."""
    n, width = probabilities.shape
    top = np.full(n, np.nan)
    margin = np.full(n, np.nan)
    best = np.full(n, NO_LABEL, dtype=np.int64)
    if n == 0 or width == 0:
        return top, margin, best
    counts = known.sum(axis=1)
    rows = np.arange(n)
    ranked = np.where(known, probabilities, -np.inf)
    first = ranked.argmax(axis=1)
    highest = ranked[rows, first]
    ranked[rows, first] = -np.inf
    second = ranked.max(axis=1)

    many = counts >= 2
    top[many], best[many] = highest[many], first[many]
    margin[many] = highest[many] - second[many]
    single = counts == 1
    positive = probabilities[single, 0]
    top[single] = np.maximum(positive, 1.0 - positive)
    margin[single] = np.abs(2.0 * positive - 1.0)
    best[single] = (positive >= 0.5).astype(np.int64)
    return top, margin, best


def _given(records: Sequence[Record]) -> tuple[FloatArray, _BoolArray]:
    """The confidence that each record names itself, NaN without one, and which do: each [n]."""
    values = [record.confidence for record in records]
    if values.count(None) == len(values):
        return np.full(len(values), np.nan), np.zeros(len(values), dtype=np.bool_)
    given = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return given, np.array([value is not None for value in values], dtype=np.bool_)


def _labels(records: Sequence[Record], best: IntArray) -> IntArray:
    """Label codes [n]: the record's own, else the most probable class."""
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
