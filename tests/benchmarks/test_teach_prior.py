"""The prior is taught on many data sets, and tried on each as if it had never seen it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection import lessons
from benchmarks.detection.collect import Points
from benchmarks.detection.teach_prior import teach_prior
from benchmarks.detection.unlearned import Unlearned, collect_unlearned
from benchmarks.traces import make
from detector.features.catalogue import INDEX, NAMES
from detector.policy import OTHERS
from detector.rows import Rows

SETS = ("wine", "iris", "cancer")


def points(rng: np.random.Generator, data_set: str, sessions: int, attacks: int) -> Points:
    """Points of sessions, ten each; attacks change one column at a time, the data sets differ in the rest."""
    kinds = np.repeat(np.arange(sessions + attacks) < attacks, 10)
    features = rng.normal(size=(len(kinds), len(NAMES))) * (1.0 + 0.05 * SETS.index(data_set))
    features[:, INDEX["one_column_steps"]] = np.where(kinds, 0.9, 0.0) + 0.1 * rng.random(len(kinds))
    features = features.round(1)  # few values, so that the trees' bins need no quantiles
    return Points(
        data_set=data_set,
        features=features,
        surprises=np.zeros_like(features),
        sessions=np.repeat(np.arange(sessions + attacks), 10),
        queries=np.tile(8 + 4 * np.arange(10), sessions + attacks),
        family=np.where(kinds, "inversion", "benign").tolist(),
        kind=np.where(kinds, "zoo", "ordinary").tolist(),
        benign_sessions=2 * sessions + attacks,
    )


@pytest.fixture(scope="module")
def recorded() -> list[Unlearned]:
    rng = np.random.default_rng(1)
    out = []
    for name in SETS:
        past, now = points(rng, name, 120, 0), points(rng, name, 40, 20)
        others = Rows(past.features[:400], past.sessions[:400], past.sessions[:400], past.so_far[:400])
        out.append(Unlearned(past, now, tuple(others for _ in OTHERS)))
    return out


def test_what_was_kept_is_what_is_read(tmp_path: Path, recorded: list[Unlearned]) -> None:
    recorded[0].save(tmp_path / "u.npz")
    again = Unlearned.load(tmp_path / "u.npz")
    np.testing.assert_array_equal(again.now.features, recorded[0].now.features)
    assert again.past.kind == recorded[0].past.kind
    assert again.now.benign_sessions == recorded[0].now.benign_sessions
    for rows, before in zip(again.others, recorded[0].others, strict=True):
        np.testing.assert_array_equal(rows.entities, before.entities)


def test_attacks_are_found_on_a_data_set_that_was_left_out(
    recorded: list[Unlearned], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons, "TREES", 8)  # quicker, and enough for these
    prior, outcomes = teach_prior(recorded, {"made_by": "a test"})
    assert [name for name, _ in outcomes] == sorted(SETS)
    for _, outcome in outcomes:
        found, attacks, _ = outcome.found()
        assert (found, attacks) == (20, 20)
        assert (outcome.wrong, outcome.sessions) == (0, 320)
    profile = prior.profile
    assert np.isfinite(profile.thresholds(1.0)).all()
    assert prior.recogniser.features == NAMES
    assert prior.provenance == {"made_by": "a test"}
    # 960 sessions without a false alert: the rule of three, nearly (Clopper and Pearson).
    assert profile.tail.supported_budget() == pytest.approx(1e4 * 3.7 / 960, rel=0.05)


def test_points_are_measured_in_units_of_the_first_queries(tmp_path: Path) -> None:
    truth = make(
        tmp_path, seed=5, history_sessions=120, benign_sessions=30, attacks=("zoo",), models=("wine",)
    )
    (one,) = collect_unlearned(tmp_path, truth)
    assert (one.past.data_set, set(one.past.family)) == ("wine", {"benign"})
    assert {"benign", "evasion"} == set(one.now.family)
    assert one.past.benign_sessions == 120
    assert one.now.benign_sessions == len(truth.sessions)
    assert not one.past.surprises.any()
    # What came before the units were known is no point of the history.
    assert len(one.past.features) < truth.history_queries / 4
    assert sum(len(rows.entities) for rows in one.others) > 0
