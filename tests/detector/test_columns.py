"""Records become columns: value checks, derived outputs, and independence of the batching."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.columns import QueryBatch, to_batch
from detector.query import NO_LABEL, DeadLetter, Record


def record(offset: int = 0, **fields: Any) -> Record:
    defaults: dict[str, Any] = {
        "timestamp": 100.0 + offset,
        "model_id": "m",
        "client_id": "c",
        "input": [1.0, 2.0],
    }
    return Record(offset=offset, raw=b"raw %d" % offset, **(defaults | fields))


def columns(*records: Record) -> tuple[QueryBatch, list[DeadLetter]]:
    return to_batch("m", records, "log", 4)


def one(**fields: Any) -> QueryBatch:
    batch, letters = columns(record(**fields))
    assert letters == []
    return batch


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3.5e38, -1e300])
def test_inputs_beyond_float32_leave_and_good_rows_stay_in_order(value: float) -> None:
    batch, letters = columns(record(0), record(1, input=[0.0, value]), record(2, input=[3.0, 4.0]))
    assert [r.offset for r in batch.records] == [0, 2]
    assert batch.inputs.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert batch.timestamps.tolist() == [100.0, 102.0]
    (letter,) = letters
    assert (letter.reason, letter.offset, letter.raw) == ("input_not_finite", 1, b"raw 1")
    assert (letter.source, letter.partition) == ("log", 4)
    assert letter.detail.startswith("input[1]")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"probabilities": [0.5, 1.1]}, "probabilities[1]"),
        ({"probabilities": [-0.1]}, "probabilities[0]"),
        ({"probabilities": [0.5, math.nan]}, "probabilities[1]"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": math.nan}, "confidence"),
        ({"confidence": -0.01, "probabilities": [0.5, 0.5]}, "confidence"),
    ],
)
def test_what_is_no_probability_leaves(fields: dict[str, Any], place: str) -> None:
    batch, (letter,) = columns(record(0, **fields), record(1, probabilities=[0.5, 0.25, 0.25]))
    assert [r.offset for r in batch.records] == [1]
    assert letter.reason == "bad_probability"
    assert letter.detail.startswith(place)


def test_rounding_overshoot_is_clipped() -> None:
    batch = one(probabilities=[1.0000005, -0.0000005])
    assert batch.probabilities.tolist() == [[1.0, 0.0]]
    assert batch.confidence.tolist() == [1.0]
    assert one(confidence=1.0000005).confidence.tolist() == [1.0]


def test_confidence_margin_and_label_come_from_the_probabilities() -> None:
    batch = one(probabilities=[0.125, 0.625, 0.25])
    assert (batch.confidence[0], batch.margin[0], batch.labels[0]) == (0.625, 0.375, 1)


def test_what_the_record_says_itself_goes_first() -> None:
    batch = one(probabilities=[0.25, 0.75], confidence=0.5, label=0)
    assert (batch.confidence[0], batch.margin[0], batch.labels[0]) == (0.5, 0.5, 0)


def test_equal_top_probabilities_leave_no_margin() -> None:
    batch = one(probabilities=[0.5, 0.5])
    assert (batch.margin[0], batch.labels[0]) == (0.0, 0)


@pytest.mark.parametrize(("p", "confidence", "label"), [(0.875, 0.875, 1), (0.125, 0.875, 0), (0.5, 0.5, 1)])
def test_one_probability_is_that_of_the_positive_class(p: float, confidence: float, label: int) -> None:
    batch = one(probabilities=[p])
    assert (batch.confidence[0], batch.margin[0], batch.labels[0]) == (confidence, abs(2 * p - 1), label)


def test_absent_outputs_are_unknown() -> None:
    batch = one()
    assert batch.probabilities.shape == (1, 0)
    assert np.isnan(batch.confidence).all()
    assert np.isnan(batch.margin).all()
    assert batch.labels.tolist() == [NO_LABEL]
    only_confidence = one(confidence=0.5)
    assert only_confidence.confidence.tolist() == [0.5]
    assert np.isnan(only_confidence.margin).all()


def test_labels_are_their_own_codes_or_stable_hashes() -> None:
    batch, _ = columns(
        *(record(i, label=v) for i, v in enumerate([0, 2**31 - 1, 2**31, -1, "cat", "cat", "7"]))
    )
    codes = batch.labels.tolist()
    assert codes[:2] == [0, 2**31 - 1]
    assert codes[4] == codes[5] == zlib.crc32(b"cat") & 0x7FFFFFFF
    assert all(0 <= code < 2**31 for code in codes)


def test_texts_become_vectors_that_keep_near_texts_near() -> None:
    texts = ["please transfer 100 euro", "Please transfer 101 euro", "what is the weather"]
    batch, letters = columns(*(record(i, input=text) for i, text in enumerate(texts)))
    assert letters == []
    assert batch.inputs.shape == (3, 256)
    assert np.linalg.norm(batch.inputs, axis=1) == pytest.approx(1.0)
    near, far = np.linalg.norm(batch.inputs[0] - batch.inputs[1:], axis=1)
    assert near < far / 2
    alone = one(input=texts[1]).inputs[0]
    assert alone.tobytes() == batch.inputs[1].tobytes()


def test_mixed_kinds_and_lengths_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="one length"):
        columns(record(input=[1.0]), record(input=[1.0, 2.0]))
    with pytest.raises(ValueError, match="texts or numbers"):
        columns(record(input=[1.0]), record(input="x"))


def test_no_records_give_no_rows() -> None:
    batch, letters = columns()
    assert len(batch) == 0
    assert letters == []


def test_arrays_and_lists_give_the_same_columns() -> None:
    batch, _ = columns(record(0, input=np.array([0.1, 189_778.001])), record(1, input=[0.1, 189_778.001]))
    assert batch.inputs[0].tobytes() == batch.inputs[1].tobytes()


odd = st.floats(-0.1, 1.1) | st.sampled_from([math.nan, 0.0, 0.5, 1.0, 1 + 5e-7])
rows = st.fixed_dictionaries(
    {
        "input": st.lists(st.floats(width=32), min_size=2, max_size=2),
        "probabilities": st.none() | st.lists(odd, min_size=1, max_size=4),
        "confidence": st.none() | odd,
        "label": st.none() | st.integers(-5, 2**40) | st.text(max_size=3),
    }
)


@given(st.lists(rows, min_size=1, max_size=8))
def test_a_row_does_not_depend_on_the_others(fields: list[dict[str, Any]]) -> None:
    records = [record(i, **f) for i, f in enumerate(fields)]
    together, letters = columns(*records)
    assert sorted([r.offset for r in together.records] + [e.offset for e in letters]) == list(
        range(len(records))
    )
    alone = [columns(r) for r in records]
    assert [e for _, es in alone for e in es] == letters
    kept = [batch for batch, _ in alone if len(batch)]
    for name in ("inputs", "confidence", "margin", "labels", "timestamps"):
        apart = [getattr(batch, name) for batch in kept]
        if apart:
            assert np.concatenate(apart).tobytes() == getattr(together, name).tobytes()
    for row, batch in enumerate(kept):
        own = batch.probabilities.shape[1]
        assert together.probabilities[row, :own].tobytes() == batch.probabilities[0].tobytes()
        assert np.isnan(together.probabilities[row, own:]).all()
