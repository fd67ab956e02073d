"""The recogniser: the same numbers as the library that taught it, and a file that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.detection.lessons import FAMILIES, lay_out
from detector.features import catalogue
from detector.features.catalogue import NAMES, SIDES
from detector.query import FloatArray
from models.ensemble import Ensemble
from models.recogniser import MANY, SHIPPED, SHIPPED_FOR_TEXTS, Recogniser, described, judged, load, shipped

F = len(NAMES)


Taught = tuple[HistGradientBoostingClassifier, HistGradientBoostingClassifier, Recogniser]


@pytest.fixture(scope="module")
def taught() -> Taught:
    """Four families, each odd in one feature of its own, and benign rows. The third family is named only by
    what was on average."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 1 + len(FAMILIES), 3000)
    x = rng.normal(size=(3000, F))
    x[np.arange(3000), y] += 6.0 * (y > 0)
    points = rng.integers(1, 20, 3000)
    attack = HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(judged(x, points), y > 0)
    now = x.copy()
    now[:, 3] = 0.0
    x = described(now, rng.normal(size=x.shape), np.roll(x, 1, axis=1))
    family = HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(x[y > 0], y[y > 0] - 1)
    meta = {"classes": FAMILIES, "features": NAMES, "provenance": {"made_by": "a test"}}
    return attack, family, Recogniser(lay_out(attack, 1), lay_out(family, len(FAMILIES)), meta)


def test_scores_equal_the_library(taught: Taught) -> None:
    attack, family, recogniser = taught
    x, points = np.random.default_rng(1).normal(size=(500, F)) * 4.0, np.arange(1, 501)
    theirs: FloatArray = attack.decision_function(np.column_stack([x, np.minimum(points, MANY)]))
    np.testing.assert_allclose(recogniser.score(x, points), theirs, rtol=1e-12, atol=1e-12)
    x = np.random.default_rng(1).normal(size=(500, 3 * F)) * 4.0
    np.testing.assert_allclose(recogniser.families(x), family.predict_proba(x), atol=1e-12)


def test_missing_features_count_as_unsurprising(taught: Taught) -> None:
    x = np.random.default_rng(2).normal(size=(50, F))
    holes = x.copy()
    holes[:, 3], x[:, 3] = np.nan, 0.0
    first = np.ones(50, dtype=np.int64)
    assert np.array_equal(taught[-1].score(holes, first), taught[-1].score(x, first))
    holes, x = described(holes, holes, holes), described(x, x, x)
    assert np.array_equal(taught[-1].families(holes), taught[-1].families(x))


def test_a_saved_recogniser_is_the_same(tmp_path: Path, taught: Taught) -> None:
    _, _, recogniser = taught
    recogniser.save(tmp_path / "r.npz")
    again = load(tmp_path / "r.npz")
    x = np.random.default_rng(3).normal(size=(50, F))
    assert again.version == recogniser.version
    assert again.provenance == {"made_by": "a test"}
    points = np.arange(1, 51)
    assert np.array_equal(again.score(x, points), recogniser.score(x, points))
    x = np.random.default_rng(3).normal(size=(50, 3 * F))
    assert np.array_equal(again.families(x), recogniser.families(x))
    again.save(tmp_path / "s.npz")
    assert (tmp_path / "s.npz").read_bytes() == (tmp_path / "r.npz").read_bytes()


@pytest.mark.parametrize("texts", [False, True])
def test_the_shipped_one_fits_this_version_and_says_where_it_comes_from(texts: bool) -> None:
    recogniser = shipped(texts)
    assert recogniser.features == NAMES
    assert recogniser.classes == FAMILIES
    assert {"made_by", "seeds", "data_sets", "attacks", "scikit-learn"} <= set(recogniser.provenance)
    assert (SHIPPED_FOR_TEXTS if texts else SHIPPED).stat().st_size < 1_000_000
    assert recogniser.version != shipped(not texts).version


@pytest.mark.parametrize("texts", [False, True])
def test_the_shipped_one_finds_nothing_in_unsurprising_rows(texts: bool) -> None:
    assert (shipped(texts).score(np.zeros((MANY, F)), np.arange(1, MANY + 1)) < 0.0).all()


def test_what_goes_on_for_long_is_more_of_an_attack() -> None:
    odd = np.zeros((2, F))
    odd[:, [NAMES.index(name) for name in ("off_manifold", "nearest_distance")]] = 2.0
    first, later = shipped().score(odd, np.array([1, MANY]))
    assert later > first


def test_an_ensemble_goes_with_the_recogniser_it_was_calibrated_with(
    taught: Taught,
) -> None:
    x = np.random.default_rng(4).normal(size=(1500, F))
    ensemble = Ensemble(SIDES, catalogue.FAMILIES, taught[-1])
    ensemble.learn(x)
    again = Ensemble(SIDES, catalogue.FAMILIES, taught[-1])
    again.load_arrays(ensemble.to_arrays())
    assert np.array_equal(again.score(x), ensemble.score(x))
    with pytest.raises(ValueError, match="calibrated with recogniser"):
        Ensemble(SIDES, catalogue.FAMILIES).load_arrays(ensemble.to_arrays())


def test_the_recogniser_is_one_judge_among_others(
    taught: Taught,
) -> None:
    x = np.random.default_rng(5).normal(size=(1500, F))
    with_it, without = Ensemble(SIDES, catalogue.FAMILIES, taught[-1]), Ensemble(SIDES, catalogue.FAMILIES)
    with_it.learn(x)
    without.learn(x)
    known = np.zeros((1, F))
    known[0, 2] = 6.0  # what the toy recogniser was taught to know as an attack
    assert with_it.score(known)[0] > without.score(known)[0] > 0.0
    assert set(with_it.attack_families(known[0])) == set(FAMILIES)
    assert max(with_it.attack_families(known[0]).items(), key=lambda item: item[1])[0] == FAMILIES[1]
    assert without.attack_families(known[0]) == {}


def test_what_was_on_average_counts_for_the_name(taught: Taught) -> None:
    x = np.random.default_rng(6).normal(size=(1500, F))
    ensemble = Ensemble(SIDES, catalogue.FAMILIES, taught[-1])
    ensemble.learn(x)
    now, means = np.zeros(F), np.zeros(F)
    means[4] = 6.0  # where the toy recogniser finds what feature 3 was
    alone, since = ensemble.attack_families(now), ensemble.attack_families(now, means)
    assert since[FAMILIES[2]] > alone[FAMILIES[2]]
    assert ensemble.attack_families(now, now) == alone
