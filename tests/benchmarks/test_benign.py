"""Honest kinds: each sends what the model takes, and has a shape of its own."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks.traces.benign import KINDS, Client
from benchmarks.traces.data import NUMERIC, Dataset, load
from benchmarks.traces.recording import BoolArray
from benchmarks.traces.targets import Population
from detector.query import FloatArray

SEED = 3
LEAVES_THE_RANGE = {"faulty_input"}
COMPUTED = {"augmentation", "drift", "wander", "dashboard", "two_arms", "faulty_input", "shared_address"}
COMPUTED |= {"long_drift", "long_wander", "long_shared_address"}


@cache
def population(name: str) -> Population:
    return Population(load(name, SEED))


def client(name: str, seed: int) -> Client:
    rng = np.random.default_rng(seed)
    clients = population(name)
    return Client(clients, rng, rng.dirichlet(np.ones(clients.dataset.classes)))


def sent(kind: str, name: str, n: int, seed: int) -> FloatArray:
    return KINDS[kind].draw(client(name, seed), n)


def inputs_apart(data: Dataset, x: FloatArray, y: FloatArray) -> BoolArray:
    """[n, inputs] which inputs differ between rows x [n, d] and y."""
    return np.column_stack([(x[:, columns] != y[:, columns]).any(axis=1) for columns in data.inputs])


def moved(data: Dataset, x: FloatArray, lag: int = 1) -> FloatArray:
    """Distances [n - lag] between each row and the one `lag` later, in public ranges."""
    unit = data.to_unit(x)
    return np.asarray(np.linalg.norm(unit[lag:] - unit[:-lag], axis=1))


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_sends_what_the_model_takes(kind: str, name: str) -> None:
    data = population(name).dataset
    for seed in range(4):
        x = sent(kind, name, 37, seed)
        assert x.shape == (37, data.columns)
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(x, data.keep_discrete(x))
        if kind not in LEAVES_THE_RANGE:
            assert ((x >= data.low - 1e-9) & (x <= data.high + 1e-9)).all()
        if kind not in COMPUTED:
            np.testing.assert_array_equal(x, data.snap(x))
    np.testing.assert_array_equal(x, sent(kind, name, 37, 3))


@pytest.mark.parametrize("name", ["cancer", "gauges", "embeddings"])
def test_what_wanders_comes_back(name: str) -> None:
    data = population(name).dataset
    walks = [sent("wander", name, 3000, seed) for seed in range(12)]
    far = [[(moved(data, x, lag) ** 2).mean() for lag in (1, 500, 1000)] for x in walks]
    one, some, many = np.array(far).T
    assert np.median(one / some) < 0.3
    assert 0.7 < np.median(many / some) < 1.3  # of a walk that does not come back: 2


def test_what_wanders_moves_as_rows_differ() -> None:
    together = []
    for seed in range(20):
        steps = np.diff(sent("wander", "cancer", 500, seed)[:, [0, 2]], axis=0)  # radius and perimeter
        if steps.any(axis=0).all():
            together.append(np.asarray(np.corrcoef(steps.T))[0, 1])
    assert len(together) > 10
    assert np.median(together) > 0.8


def test_some_streams_hold_columns_and_some_tell_old_values() -> None:
    walks = [sent("wander", "gauges", 300, seed) for seed in range(20)]
    held = sum((x == x[0]).all(axis=0).any() for x in walks)
    repeated = sum((x[1:] == x[:-1]).all(axis=1).mean() > 0.05 for x in walks)
    assert 2 < held < 16
    assert 2 < repeated < 16


@pytest.mark.parametrize("name", ["digits", "gauges", "synthetic", "text"])
def test_a_dashboard_asks_in_rounds(name: str) -> None:
    data = population(name).dataset
    lags = range(1, 13)
    nearest = []
    for seed in range(12):
        x = sent("dashboard", name, 240, seed)
        far = [np.median(moved(data, x, lag)) for lag in lags]
        nearest.append((lags[int(np.argmin(far))], min(far) / far[0]))
    streams, nearer = zip(*nearest, strict=True)
    assert len(set(streams)) > 3
    assert min(streams) >= 2
    assert np.median(nearer) < 0.5


@pytest.mark.parametrize("name", ["cancer", "gauges", "iris"])
def test_a_grid_crosses_two_inputs_of_one_record(name: str) -> None:
    data = population(name).dataset
    for seed in range(8):
        x = sent("crossed_grid", name, 17, seed)[1:]  # without the record itself, should it come first
        apart = inputs_apart(data, x, x[:1]).any(axis=0)
        assert apart.sum() == 2
        assert len(np.unique(x, axis=0)) == len(x)
        first, second = (len(np.unique(x[:, data.inputs[i][0]])) for i in np.flatnonzero(apart))
        assert first * second < 2 * len(x)


def test_a_grid_takes_discrete_inputs_through_all_their_values() -> None:
    data = population("flares").dataset
    for seed in range(8):
        x = sent("crossed_grid", "flares", 23, seed)
        moving = np.flatnonzero(inputs_apart(data, x[1:], x[:-1]).any(axis=0))
        whole = [len(np.unique(data.fields[i].nearest(x))) == len(data.fields[i].values) for i in moving]
        assert sum(whole) >= 2


def test_a_grid_on_an_image_is_a_patch_moved_over_it() -> None:
    data = population("photos").dataset
    for seed in range(8):
        x = sent("crossed_grid", "photos", 23, seed)
        record = np.median(x, axis=0)
        for image in x:
            shape = (data.side, data.side)
            rows, columns = np.nonzero((image != record).reshape(shape))
            if rows.size:
                box = image.reshape(shape)[np.ix_(np.unique(rows), np.unique(columns))]
                assert max(box.shape) <= 0.36 * data.side + 1
                assert len(np.unique(box)) == 1
        assert len(np.unique(x, axis=0)) > 15


def test_a_grid_in_a_text_adds_words_of_two_places() -> None:
    for seed in range(8):
        x = sent("crossed_grid", "text", 20, seed)
        assert len(np.unique(x, axis=0)) == len(x)
        # Made of one text, the words of the one place and those of the other, and of nothing else.
        assert np.linalg.matrix_rank(x, tol=1e-5) <= 13
        assert np.median(np.linalg.norm(x - x[0], axis=1)) < 0.9


@pytest.mark.parametrize("name", ["gauges", "synthetic", "flares", "photos", "text"])
def test_a_fault_is_in_one_place_for_a_while(name: str) -> None:
    data = population(name).dataset
    broken = 0
    for seed in range(12):
        x, whole = sent("faulty_input", name, 40, seed), client(name, seed).rows(40)
        when = np.flatnonzero((x != whole).any(axis=1))
        broken += when.size > 0
        if when.size:
            assert when[-1] - when[0] < 0.8 * 40 + 1
        where = (x != whole).any(axis=0)
        if data.side:
            lines = where.reshape(data.side, data.side)
            assert min(lines.any(axis=0).sum(), lines.any(axis=1).sum()) <= 0.3 * data.side + 1
        elif not data.texts:
            assert sum(where[columns].any() for columns in data.inputs) <= 1
    assert broken > 8


def test_another_unit_leaves_the_public_range() -> None:
    data = population("gauges").dataset
    outside = [
        ((x < data.low) | (x > data.high)).any(axis=0).sum()
        for x in (sent("faulty_input", "gauges", 40, seed) for seed in range(20))
    ]
    assert set(outside) == {0, 1}


@pytest.mark.parametrize("name", NUMERIC)
def test_a_page_of_results_goes_from_near_to_far(name: str) -> None:
    data = population(name).dataset
    unit = data.to_unit(sent("nearest_first", name, 10, 1))
    away = np.linalg.norm(unit - unit[0], axis=1)
    assert (np.diff(away) >= 0.0).all()
    assert away[-1] > 0.0


@pytest.mark.parametrize("name", ["digits", "gauges", "synthetic", "flares", "text"])
def test_the_second_arm_gets_the_same_rows_a_little_otherwise(name: str) -> None:
    data = population(name).dataset
    otherwise = 0
    for seed in range(12):
        x, rows = sent("two_arms", name, 20, seed), client(name, seed).rows(10)
        arms = next(a for a in ((x[::2], x[1::2]), (x[:10], x[10:])) if np.array_equal(a[0], rows))
        typical = np.median(moved(data, rows))
        apart = np.linalg.norm(data.to_unit(arms[1]) - data.to_unit(rows), axis=1)
        assert np.median(apart) < typical
        otherwise += apart.any()
        if data.discrete:
            assert inputs_apart(data, arms[1], rows).any(axis=0).sum() <= 1
    assert otherwise > 6


@pytest.mark.parametrize("name", ["digits", "gauges", "synthetic", "flares", "text"])
def test_a_habitual_client_sends_its_own_again(name: str) -> None:
    for seed in range(6):
        x = sent("habitual", name, 200, seed)
        again = sum((x[:i] == x[i]).all(axis=1).any() for i in range(1, len(x)))
        assert 0.3 * len(x) < again < len(x) - 1
        assert len(np.unique(x[:20], axis=0)) > 1


@pytest.mark.parametrize("name", ["cancer", "synthetic", "census"])
def test_recourse_changes_few_inputs_at_a_time(name: str) -> None:
    data = population(name).dataset
    for seed in range(6):
        x = sent("recourse", name, 100, seed)
        # One or two inputs, and as many again where the change before was taken back.
        anew = np.flatnonzero(inputs_apart(data, x[1:], x[:-1]).sum(axis=1) > 4)
        lengths = np.diff(np.concatenate([[-1], anew, [len(x) - 1]]))
        assert len(anew) >= 3
        assert np.median(lengths) >= 4
        assert lengths.max() <= 25
