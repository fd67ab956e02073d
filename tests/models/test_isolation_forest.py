"""IsolationForest is scikit-learn's model, scored through flat arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as SklearnForest

from models.isolation_forest import MINIMUM_ROWS, IsolationForest


@pytest.mark.parametrize(("rows", "features", "scale"), [(64, 3, 1.0), (600, 27, 1.0), (300, 5, 1e6)])
def test_scores_equal_sklearns(rows: int, features: int, scale: float) -> None:
    rng = np.random.default_rng(rows)
    x = rng.normal(0.5, 0.2, (rows, features)) * scale
    ours = IsolationForest(n_trees=32, seed=4)
    ours.learn(x)
    theirs = SklearnForest(n_estimators=32, max_samples=min(256, rows), random_state=4).fit(x)
    seen = np.vstack([x, rng.normal(0.5, 1.0, (200, features)) * scale])
    assert np.allclose(ours.score(seen), -theirs.score_samples(seen), rtol=0.0, atol=1e-12)


def test_it_is_refitted_from_the_newest_rows_only() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.normal(0.2, 0.05, (400, 4)), rng.normal(0.8, 0.05, (400, 4))
    model, fresh = IsolationForest(window=400), IsolationForest(window=400)
    model.learn(old)
    model.learn(new)
    fresh.learn(new)
    assert np.array_equal(model.score(old), fresh.score(old))
    assert model.score(old).min() > model.score(new).mean()


def test_no_opinion_with_too_few_rows() -> None:
    x = np.random.default_rng(2).random((MINIMUM_ROWS, 3))
    model = IsolationForest()
    model.learn(x[:-1])
    assert np.isnan(model.score(x)).all()
    model.learn(x[-1:])
    assert np.isfinite(model.score(x)).all()
