"""Every model satisfies every check of `models.checks`, and the checks notice models that do not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from models import checks
from models.base import Arrays, Matrix, Vector
from models.checks import Check, Factory, Violation, yield_checks
from models.ensemble import Ensemble
from models.half_space_trees import HalfSpaceTrees
from models.isolation_forest import IsolationForest
from models.tail import Tail

FACTORIES: dict[str, Factory] = {
    "half_space_trees": HalfSpaceTrees,
    "isolation_forest": lambda: IsolationForest(n_trees=32, window=2048),
    "tail": lambda: Tail(window=2048),
    "tail_with_sides_and_families": lambda: Tail(
        sides=np.array([1, -1, 0, 1, -1, 0]), families=np.array([0, 0, 1, 1, 2, 2]), window=2048
    ),
    "ensemble": Ensemble,
}
ONLINE = {"half_space_trees"}

CASES = [
    pytest.param(make, check, id=f"{model}:{name}")
    for model, make in FACTORIES.items()
    for name, check in yield_checks(online=model in ONLINE)
]


@pytest.mark.parametrize(("make", "check"), CASES)
def test_model_satisfies_check(make: Factory, check: Check) -> None:
    check(make)


class Distance:
    """A correct little model: distance to the mean of the newest 4,096 rows; broken ones derive from it."""

    name = "distance"

    def __init__(self) -> None:
        self.rows: Matrix = np.empty((0, checks.FEATURES))

    def learn(self, x: Matrix) -> None:
        self.rows = np.vstack([self.rows, x])[-4096:]

    def score(self, x: Matrix) -> Vector:
        kept = np.clip(self.rows[~np.isnan(self.rows).any(axis=1)], -1e9, 1e9)
        if len(kept) < 2:
            return np.full(len(x), np.nan)
        away = np.clip(np.nan_to_num(x, nan=0.5), -1e9, 1e9) - np.median(kept, axis=0)
        return np.asarray((away**2).sum(axis=1), dtype=np.float64)

    def to_arrays(self) -> Arrays:
        return {"rows": self.rows}

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self.rows = np.array(arrays["rows"], dtype=np.float64)


class Opinionated(Distance):
    """Has an opinion before it learned."""

    def score(self, x: Matrix) -> Vector:
        return np.nan_to_num(super().score(x), nan=0.0)


class ScoresRelatively(Distance):
    """A row's score depends on the other rows of the call."""

    def score(self, x: Matrix) -> Vector:
        scores = super().score(x)
        return scores - (scores.mean() if len(scores) else 0.0)


class LearnsWhileScoring(Distance):
    """Scoring changes the state."""

    def score(self, x: Matrix) -> Vector:
        scores = super().score(x)
        self.learn(x)
        return scores


class Hoards(Distance):
    """Keeps every row."""

    def learn(self, x: Matrix) -> None:
        self.rows = np.vstack([self.rows, x])


class Aliases(Distance):
    """Keeps the caller's array."""

    def learn(self, x: Matrix) -> None:
        self.rows = x


class Overwrites(Distance):
    """Writes into the rows it scores."""

    def score(self, x: Matrix) -> Vector:
        x[np.isnan(x)] = 0.5
        return super().score(x)


class Forgets(Distance):
    """Loads nothing."""

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        del arrays


class UpsideDown(Distance):
    """Scores outliers low."""

    def score(self, x: Matrix) -> Vector:
        return -super().score(x)


class Pickles(Distance):
    """Saves objects."""

    def to_arrays(self) -> Arrays:
        return {"rows": self.rows.astype(object)}


class Overflows(Distance):
    """Squares without care."""

    def score(self, x: Matrix) -> Vector:
        return np.asarray((np.nan_to_num(x, nan=0.5) ** 2).sum(axis=1)) + super().score(x)


@pytest.mark.parametrize(
    ("make", "check"),
    [
        (Opinionated, checks.check_no_opinion_before_learning),
        (ScoresRelatively, checks.check_rows_are_independent),
        (LearnsWhileScoring, checks.check_score_changes_nothing),
        (Hoards, checks.check_memory_is_bounded),
        (Aliases, checks.check_input_is_left_alone),
        (Overwrites, checks.check_input_is_left_alone),
        (Forgets, checks.check_round_trip),
        (UpsideDown, checks.check_finds_outliers),
        (Pickles, checks.check_state_is_plain),
    ],
)
def test_check_notices_a_broken_model(make: Factory, check: Check) -> None:
    with pytest.raises(Violation):
        check(make)


def test_a_warning_is_a_violation_too() -> None:
    (check,) = (check for name, check in yield_checks() if name == "check_extreme_values")
    with pytest.raises((RuntimeWarning, Violation)):
        check(Overflows)


def test_names_of_checks_are_unique_and_only_online_models_are_asked_to_learn_row_by_row() -> None:
    usual, online = dict(yield_checks()), dict(yield_checks(online=True))
    assert set(online) - set(usual) == {"check_learns_row_by_row"}
    assert all(check.__doc__ for name, check in vars(checks).items() if name in online)
