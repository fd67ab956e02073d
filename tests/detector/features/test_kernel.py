"""Properties of the kernel for any input: ranges, independence of batches and of other sessions, bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import pool
from detector.columns import QueryBatch
from detector.features.catalogue import CATALOGUE, FAMILIES, NAMES, SIDES
from detector.features.inputs import learn
from detector.features.layout import LONG, RING, TRACK_FROM
from tests.detector.features.scenarios import far_apart, walk
from tests.detector.features.stream import GAP, measure, same_state, session

LOW = np.array([feature.low for feature in CATALOGUE])
HIGH = np.array([feature.high for feature in CATALOGUE])
ROUNDING = 1e-6

LARGEST = float(np.finfo(np.float32).max)
NUMBERS = st.one_of(
    st.floats(-LARGEST, LARGEST),
    st.floats(-1.0, 1.0),
    st.sampled_from([0.0, -0.0, 1.0, LARGEST, -LARGEST, 1e-300, 5e-324, -1e-40, 200_000.001]),
)
PROBABILITIES = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0, 0.5, 1e-300]))


@st.composite
def batches(draw: st.DrawFn) -> QueryBatch:
    """Sessions of a few distinct inputs and arbitrary answers."""
    d = draw(st.sampled_from([1, 2, 5, 40]))
    pool = np.array(draw(st.lists(st.lists(NUMBERS, min_size=d, max_size=d), min_size=1, max_size=20)))
    n = draw(st.integers(8, 40))
    x = pool[draw(st.lists(st.integers(0, len(pool) - 1), min_size=n, max_size=n))]
    x = (
        x
        * np.array(draw(st.lists(st.sampled_from([1.0, 1.0, 0.5, -1.0, 1e-9]), min_size=n, max_size=n)))[
            :, None
        ]
    )
    kind = draw(st.sampled_from(["none", "label", "confidence", "probabilities"]))
    labels = draw(st.lists(st.integers(0, 2**31 - 1), min_size=n, max_size=n)) if kind != "none" else None
    confidence = np.array(draw(st.lists(PROBABILITIES, min_size=n, max_size=n)))
    k = draw(st.sampled_from([1, 2, 20]))
    rows = draw(st.lists(st.lists(PROBABILITIES, min_size=k, max_size=k), min_size=1, max_size=4))
    p = np.array([rows[i % len(rows)] for i in range(n)])
    return session(
        x,
        probabilities=p if kind == "probabilities" else None,
        confidence=confidence if kind == "confidence" else None,
        labels=labels,
    )


def _in_range(features: np.ndarray) -> None:
    for j, feature in enumerate(CATALOGUE):
        column = features[:, j]
        known = column[~np.isnan(column)]
        assert np.isfinite(known).all(), feature.name
        assert (known >= LOW[j] - ROUNDING).all(), (feature.name, known.min())
        assert (known <= HIGH[j] + ROUNDING).all(), (feature.name, known.max())


@settings(max_examples=150)
@given(batches(), st.booleans())
def test_every_feature_is_a_number_in_its_range_or_nan(batch: QueryBatch, learned: bool) -> None:
    units = learn(batch.inputs) if learned else None
    _in_range(measure(batch, units).features)


def test_one_wild_input_does_not_blind_the_rest_of_a_session() -> None:
    """Whatever an attacker mixes in, the features of his later queries must be numbers again."""
    x = far_apart(600, 40)
    x[20] = LARGEST
    x[21] = -LARGEST
    x[22, ::2] = LARGEST
    units = learn(far_apart(500, 40, seed=1) * 1e-3)
    p = np.random.default_rng(0).dirichlet(np.ones(3), 600)
    for inputs in (None, units):
        measured = measure(session(x, p), inputs)
        _in_range(measured.features)
        learned = [NAMES.index(name) for name in ("rare_values", "rare_pairs")] if inputs is None else []
        assert np.isfinite(np.delete(measured.features[-1], learned)).all()


@settings(max_examples=60)
@given(batches(), st.data())
def test_cuts_change_nothing(batch: QueryBatch, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(batch)), max_size=6))
    most = data.draw(st.integers(1, 5))
    whole, cut = measure(batch), measure(batch, cuts=cuts, most=most)
    assert whole.features.tobytes() == cut.features.tobytes()
    assert whole.series.tobytes() == cut.series.tobytes()
    assert same_state(whole.slots, cut.slots)


def test_single_queries_are_as_good_as_one_batch() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 150)
    batch = session(walk(150), p)
    whole, cut = measure(batch), measure(batch, cuts=range(1, 150))
    assert whole.features.tobytes() == cut.features.tobytes()
    assert same_state(whole.slots, cut.slots)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2), min_size=60, max_size=120))
def test_sessions_do_not_touch_each_other(order: list[int]) -> None:
    slot = np.unique(order, return_inverse=True)[1]
    x = walk(len(order), length=0.3)
    p = np.random.default_rng(0).dirichlet(np.ones(3), len(order))
    together = measure(session(x, p), slot=slot.tolist())
    apart = [measure(session(x[slot == which], p[slot == which])) for which in range(slot.max() + 1)]
    rows = {row.tobytes() for row in together.features}
    assert rows == {row.tobytes() for one in apart for row in one.features}


def test_silence_longer_than_the_gap_begins_a_session_anew() -> None:
    x = far_apart(60)
    times = np.arange(60.0)
    times[30:] += GAP + 1.0
    measured = measure(session(x, times=times.tolist()))
    alone = measure(session(x[30:]))
    assert measured.features[-len(alone.features) :].tobytes() == alone.features.tobytes()
    times[30:] -= 2.0
    unbroken = measure(session(x, times=times.tolist()))
    assert unbroken.features.tobytes() == measure(session(x)).features.tobytes()


def test_state_does_not_grow_with_a_session() -> None:
    short, long = (measure(session(far_apart(n))).slots for n in (8, 5000))
    assert [len(array.tobytes()) for array in short[:-4]] == [len(array.tobytes()) for array in long[:-4]]
    assert (short.blocks.lent, long.blocks.lent) == (0, 1)


@pytest.mark.parametrize(
    ("queries", "length", "lent"),
    [(LONG - 1, 5.0, 0), (LONG + RING, 5.0, 1), (2 * RING + TRACK_FROM, 0.1, 1)],
)
def test_a_full_ring_is_lent_to_long_sessions_and_where_queries_are_near(
    queries: int, length: float, lent: int
) -> None:
    assert measure(session(walk(queries, length=length))).slots.blocks.lent == lent


def test_a_session_that_begins_gives_back_what_was_lent() -> None:
    near = walk(40, length=0.1)
    times = np.concatenate([np.arange(40.0), [1e6]])
    slots = measure(session(np.concatenate([near, near[:1]]), times=times.tolist())).slots
    assert (slots.blocks.lent, slots.block[0], slots.blocks.counters[pool.HIGH]) == (0, 0, 1)


def test_the_series_holds_the_newest_confidences_and_distances_in_order() -> None:
    confidence = np.linspace(0.1, 0.9, 16)
    series = measure(session(walk(16, length=0.5), confidence=confidence)).series
    assert series[-1, :, 0].tolist() == confidence[8:].astype(np.float32).tolist()
    assert (series[-1, :, 1] <= 0.5 + ROUNDING).all()


def test_catalogue_is_consistent() -> None:
    assert len(set(NAMES)) == len(CATALOGUE) == len(SIDES) == len(FAMILIES)
    for feature in CATALOGUE:
        assert feature.low < feature.high, feature.name
        assert feature.side in (-1, 0, 1), feature.name
        assert feature.meaning and feature.source and feature.cost.startswith("O("), feature.name
