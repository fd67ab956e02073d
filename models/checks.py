"""The contract of an anomaly model, as code: what `tests/models/test_checks.py` asks of every model.

`yield_checks()` yields named checks; each takes a factory of fresh models made with the same parameters
and raises `Violation` when the contract is broken. Warnings count as violations. The data that the checks
use lies in [0, 1], so it serves as ranks and as raw features alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from models.base import Arrays, Matrix, Model, Vector

Factory = Callable[[], Model]
Check = Callable[[Factory], None]

ROWS = 1024
"""Rows that are enough for any model of ours to have an opinion."""
FEATURES = 6


class Violation(AssertionError):
    """A model breaks its contract."""


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Violation(what)


def benign(rows: int = ROWS, seed: int = 0) -> Matrix:
    """Rows [rows, FEATURES] in [0, 1], crowded round 0.5."""
    return np.clip(np.random.default_rng(seed).normal(0.5, 0.1, (rows, FEATURES)), 0.0, 1.0)


def outliers(rows: int, seed: int = 0) -> Matrix:
    """Rows [rows, FEATURES] in the corners of the unit cube."""
    return np.random.default_rng(seed).choice([0.01, 0.99], (rows, FEATURES))


def _taught(make: Factory) -> Model:
    model = make()
    model.learn(benign())
    return model


def _same(a: Vector, b: Vector) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def _same_arrays(a: Mapping[str, npt.NDArray[np.generic]], b: Mapping[str, npt.NDArray[np.generic]]) -> bool:
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


def _copy(arrays: Arrays) -> Arrays:
    return {key: value.copy() for key, value in arrays.items()}


def _some_rows() -> Matrix:
    """Ordinary rows, outliers, and rows with features that are missing."""
    x = np.vstack([benign(40, seed=3), outliers(10, seed=3)])
    x[::4, 1] = np.nan
    x[7, :] = np.nan
    return x


def check_documented(make: Factory) -> None:
    """The class has a docstring and the model a name."""
    model = make()
    _require(bool(type(model).__doc__), "the class has no docstring")
    _require(model.name.isidentifier(), "the name is no identifier")


def check_no_opinion_before_learning(make: Factory) -> None:
    """Scores of a model that learned nothing are NaN."""
    scores = make().score(_some_rows())
    _require(bool(np.isnan(scores).all()), "a model that learned nothing has an opinion")


def check_scores_are_numbers_or_nan(make: Factory) -> None:
    """One float64 per row, never infinite, and a number for an ordinary row."""
    x = _some_rows()
    scores = _taught(make).score(x)
    _require(scores.shape == (len(x),) and scores.dtype == np.float64, "not one float64 a row")
    _require(not np.isinf(scores).any(), "a score is infinite")
    complete = ~np.isnan(x).any(axis=1)
    _require(bool(np.isfinite(scores[complete]).all()), "no opinion on an ordinary row")


def check_score_changes_nothing(make: Factory) -> None:
    """Scoring leaves the state as it was."""
    model = _taught(make)
    before = _copy(model.to_arrays())
    model.score(_some_rows())
    _require(_same_arrays(before, model.to_arrays()), "scoring changed the state")


def check_rows_are_independent(make: Factory) -> None:
    """A row scores the same alone, among others, and in any order."""
    model, x = _taught(make), _some_rows()
    scores = model.score(x)
    alone = np.concatenate([model.score(x[i : i + 1]) for i in range(len(x))])
    _require(_same(scores, alone), "a row scores otherwise alone")
    _require(_same(scores[::-1], model.score(np.ascontiguousarray(x[::-1]))), "the order matters")


def check_memory_layout_is_irrelevant(make: Factory) -> None:
    """Fortran order, strides and read-only memory change no score."""
    model, x = _taught(make), _some_rows()
    scores = model.score(x)
    strided = np.repeat(x, 2, axis=0)[::2]
    frozen = x.copy()
    frozen.flags.writeable = False
    for layout in (np.asfortranarray(x), strided, frozen):
        _require(_same(scores, model.score(layout)), "the memory layout changes scores")
    other = make()
    other.learn(np.asfortranarray(benign()))
    _require(_same(scores, other.score(x)), "the memory layout changes what is learned")


def check_input_is_left_alone(make: Factory) -> None:
    """Neither learn nor score changes its input, and neither keeps hold of it."""
    model, x, seen = make(), benign(), _some_rows()
    model.learn(x)
    _require(np.array_equal(x, benign()), "learn changed its input")
    scores = model.score(seen)
    _require(_same(seen.ravel(), _some_rows().ravel()), "score changed its input")
    before = _copy(model.to_arrays())
    x[:] = 0.25
    _require(_same_arrays(before, model.to_arrays()), "the model holds on to the rows it was given")
    _require(_same(scores, model.score(seen)), "changing learned rows later changes scores")


def check_missing_values(make: Factory) -> None:
    """Missing features are allowed in learning and scoring, whole rows and whole columns of them too."""
    x = benign()
    x[::3, 0] = np.nan
    x[5, :] = np.nan
    x[:, 4] = np.nan
    model = make()
    model.learn(x)
    scores = model.score(benign(20, seed=1))
    _require(bool(np.isfinite(scores).all()), "no opinion, though five of six features were learned")
    empty = make()
    empty.learn(np.full((ROWS, FEATURES), np.nan))
    _require(not np.isinf(empty.score(_some_rows())).any(), "infinite score after rows without values")


def check_constant_columns(make: Factory) -> None:
    """Columns that never vary are allowed, even when all are such."""
    x = benign()
    x[:, 2] = 0.5
    model = make()
    model.learn(x)
    _require(bool(np.isfinite(model.score(x[:50])).all()), "no opinion with one constant column")
    still = make()
    still.learn(np.full((ROWS, FEATURES), 0.5))
    _require(not np.isinf(still.score(_some_rows())).any(), "infinite score after constant rows")


def check_extreme_values(make: Factory) -> None:
    """Values up to 1e300 in size, and as small, are scored, and learned, without an error or infinity."""
    extreme = benign(12, seed=5)
    for i, value in enumerate((1e300, -1e300, 1e-300, -1e-300, 3.5e38, -0.0)):
        extreme[i, i] = value
        extreme[i + 6, :] = value
    _require(bool(np.isfinite(_taught(make).score(extreme)).all()), "no finite score of extreme values")
    model = make()
    model.learn(np.vstack([benign(), extreme, benign(seed=6)]))
    _require(bool(np.isfinite(model.score(extreme)).all()), "no finite score after learning extreme values")
    _require(bool(np.isfinite(model.score(benign(20))).all()), "extreme values spoil ordinary rows")


def check_no_rows(make: Factory) -> None:
    """Learning and scoring no rows [0, f] works at any time and changes nothing."""
    none = np.empty((0, FEATURES))
    model = make()
    model.learn(none)
    _require(model.score(none).shape == (0,), "scores of no rows before learning")
    model.learn(benign())
    reference = _taught(make).score(_some_rows())
    _require(_same(model.score(_some_rows()), reference), "learning no rows at first changes scores")
    model.learn(none)
    _require(model.score(none).shape == (0,), "scores of no rows")
    _require(_same(model.score(_some_rows()), reference), "learning no rows changes scores")


def check_one_row_learned(make: Factory) -> None:
    """One row is too little for an opinion."""
    model = make()
    model.learn(benign(1))
    _require(bool(np.isnan(model.score(_some_rows())).all()), "one row is enough for an opinion")


def check_repeatable(make: Factory) -> None:
    """Two models made and taught alike are alike."""
    one, two = _taught(make), _taught(make)
    _require(_same(one.score(_some_rows()), two.score(_some_rows())), "scores differ from run to run")
    _require(_same_arrays(one.to_arrays(), two.to_arrays()), "states differ from run to run")


def check_memory_is_bounded(make: Factory) -> None:
    """The state stops growing, however many rows come."""
    model = make()
    sizes = []
    for turn in range(5):
        model.learn(benign(4 * ROWS, seed=turn))
        sizes.append(sum(value.nbytes for value in model.to_arrays().values()))
    # A refitted forest has some nodes more or fewer from fit to fit.
    _require(max(sizes[2:]) <= 1.1 * max(sizes[:2]), f"the state grows: {sizes} bytes")


def check_state_is_plain(make: Factory) -> None:
    """State arrays hold numbers, so that saving them needs no pickle."""
    for model in (make(), _taught(make)):
        for key, value in model.to_arrays().items():
            _require(isinstance(value, np.ndarray) and value.dtype.kind in "biuf", f"{key} is no plain array")


def check_round_trip(make: Factory) -> None:
    """A state that was taken over scores, and goes on learning, bit for bit like the original."""
    x = _some_rows()
    for rows in (0, 1, 300, ROWS):
        original, copy = make(), make()
        original.learn(benign(rows))
        copy.load_arrays(_copy(original.to_arrays()))
        _require(_same(original.score(x), copy.score(x)), f"scores differ after loading ({rows} rows)")
        _require(_same_arrays(original.to_arrays(), copy.to_arrays()), f"state differs ({rows} rows)")
        for model in (original, copy):
            model.learn(benign(ROWS, seed=8))
        _require(_same(original.score(x), copy.score(x)), f"learning goes on otherwise ({rows} rows)")
        _require(_same_arrays(original.to_arrays(), copy.to_arrays()), f"later state differs ({rows} rows)")


def check_state_is_not_shared(make: Factory) -> None:
    """Learning by a model that took over a state leaves the model that it came from as it was."""
    original, copy = _taught(make), make()
    before, scores = _copy(original.to_arrays()), original.score(_some_rows())
    copy.load_arrays(original.to_arrays())
    copy.learn(outliers(ROWS))
    _require(_same_arrays(before, original.to_arrays()), "two models share state")
    _require(_same(scores, original.score(_some_rows())), "two models share what they score with")


def check_finds_outliers(make: Factory) -> None:
    """Corners of the cube score higher than rows round its centre: ROC-AUC above 0.9."""
    model = _taught(make)
    high, low = model.score(outliers(200, seed=9)), model.score(benign(200, seed=9))
    wins = (high[:, None] > low[None, :]).mean() + 0.5 * (high[:, None] == low[None, :]).mean()
    _require(bool(wins > 0.9), f"ROC-AUC {wins:.3f}")


def check_learns_row_by_row(make: Factory) -> None:
    """Learning rows in one call, or cut anywhere, gives the same model. Only online models promise it."""
    whole, cut = _taught(make), make()
    for part in np.split(benign(), [1, 2, 9, 251, 700]):
        cut.learn(part)
    _require(_same(whole.score(_some_rows()), cut.score(_some_rows())), "the cut changes scores")
    _require(_same_arrays(whole.to_arrays(), cut.to_arrays()), "the cut changes the state")


def _strict(check: Check) -> Check:
    def run(make: Factory) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check(make)

    return run


def yield_checks(*, online: bool = False) -> Iterator[tuple[str, Check]]:
    """Name and function of each check; with `online` also what only row-by-row learners promise."""
    for name, check in globals().copy().items():
        if name.startswith("check_") and (online or check is not check_learns_row_by_row):
            yield name, _strict(check)
