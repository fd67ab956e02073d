"""The recogniser: the same numbers as the library that taught it, and a file that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.detection.teach import CLASSES, lay_out
from detector.features.catalogue import FAMILIES, NAMES, SIDES
from models.ensemble import Ensemble
from models.recogniser import SHIPPED, Recogniser, load, shipped

F = len(NAMES)


@pytest.fixture(scope="module")
def taught() -> tuple[HistGradientBoostingClassifier, Recogniser]:
    """Five classes, each odd in one feature of its own."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, len(CLASSES), 3000)
    x = rng.normal(size=(3000, F))
    x[np.arange(3000), y] += 6.0 * (y > 0)
    boosted = HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(x, y)
    return boosted, lay_out(boosted, {"made_by": "a test"})


def test_scores_equal_the_library(taught: tuple[HistGradientBoostingClassifier, Recogniser]) -> None:
    boosted, recogniser = taught
    x = np.random.default_rng(1).normal(size=(500, F)) * 4.0
    np.testing.assert_allclose(recogniser.raw(x), boosted.decision_function(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(recogniser.probabilities(x), boosted.predict_proba(x), atol=1e-12)
    odds = recogniser.probabilities(x)
    np.testing.assert_allclose(recogniser.score(x), np.log((1.0 - odds[:, 0]) / odds[:, 0]), atol=1e-6)


def test_missing_features_count_as_unsurprising(
    taught: tuple[HistGradientBoostingClassifier, Recogniser],
) -> None:
    x = np.random.default_rng(2).normal(size=(50, F))
    holes = x.copy()
    holes[:, 3], x[:, 3] = np.nan, 0.0
    assert np.array_equal(taught[1].raw(holes), taught[1].raw(x))


def test_a_saved_recogniser_is_the_same(
    tmp_path: Path, taught: tuple[HistGradientBoostingClassifier, Recogniser]
) -> None:
    _, recogniser = taught
    recogniser.save(tmp_path / "r.npz")
    again = load(tmp_path / "r.npz")
    x = np.random.default_rng(3).normal(size=(50, F))
    assert again.version == recogniser.version
    assert again.provenance == {"made_by": "a test"}
    assert np.array_equal(again.raw(x), recogniser.raw(x))
    again.save(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").read_bytes() == (tmp_path / "r.npz").read_bytes()


def test_the_shipped_one_fits_this_version_and_says_where_it_comes_from() -> None:
    recogniser = shipped()
    assert recogniser.features == NAMES
    assert recogniser.classes == CLASSES
    assert {"made_by", "seeds", "data_sets", "attacks", "scikit-learn"} <= set(recogniser.provenance)
    assert SHIPPED.stat().st_size < 1_000_000


def test_the_shipped_one_finds_nothing_in_unsurprising_rows() -> None:
    assert shipped().probabilities(np.zeros((1, F)))[0, 0] > 0.9


def test_an_ensemble_goes_with_the_recogniser_it_was_calibrated_with(
    taught: tuple[HistGradientBoostingClassifier, Recogniser],
) -> None:
    x = np.random.default_rng(4).normal(size=(1500, F))
    ensemble = Ensemble(SIDES, FAMILIES, taught[1])
    ensemble.learn(x)
    again = Ensemble(SIDES, FAMILIES, taught[1])
    again.load_arrays(ensemble.to_arrays())
    assert np.array_equal(again.score(x), ensemble.score(x))
    with pytest.raises(ValueError, match="calibrated with recogniser"):
        Ensemble(SIDES, FAMILIES).load_arrays(ensemble.to_arrays())


def test_the_recogniser_is_one_judge_among_others(
    taught: tuple[HistGradientBoostingClassifier, Recogniser],
) -> None:
    x = np.random.default_rng(5).normal(size=(1500, F))
    with_it, without = Ensemble(SIDES, FAMILIES, taught[1]), Ensemble(SIDES, FAMILIES)
    with_it.learn(x)
    without.learn(x)
    known = np.zeros((1, F))
    known[0, 2] = 6.0  # what the toy recogniser was taught to know as an attack
    assert with_it.score(known)[0] > without.score(known)[0] > 0.0
    assert set(with_it.attack_families(known[0])) == set(CLASSES[1:])
    assert max(with_it.attack_families(known[0]).items(), key=lambda item: item[1])[0] == CLASSES[2]
    assert without.attack_families(known[0]) == {}
