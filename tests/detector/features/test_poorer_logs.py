"""Logs that lack answers give the features that they can, and NaN for exactly the others."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import QueryBatch
from detector.features.catalogue import NAMES
from detector.features.inputs import learn
from tests.detector.features.scenarios import far_apart, line
from tests.detector.features.stream import measure, session

CONFIDENCE = {
    "confidence_trend",
    "record_highs",
    "confidence_drift",
    "confidence_coverage",
    "confidence_step",
    "log_doubt",
    "answer_following",
}
MARGIN = {"log_margin"}
LABEL = {"label_monopoly", "label_flips", "close_flips"}
LEARNED = {"rare_values", "rare_pairs"}
INPUT = set(NAMES) - CONFIDENCE - MARGIN - LABEL

X = far_apart(40)
UNITS = learn(far_apart(300, seed=1))
P = np.random.default_rng(0).dirichlet(np.ones(5), 40)


@pytest.mark.parametrize(
    ("batch", "present"),
    [
        (session(X), INPUT),
        (session(X, labels=P.argmax(axis=1)), INPUT | LABEL),
        (session(X, confidence=P.max(axis=1)), INPUT | CONFIDENCE),
        (session(X, confidence=P.max(axis=1), labels=P.argmax(axis=1)), INPUT | CONFIDENCE | LABEL),
        (session(X, P), set(NAMES)),
        (session(X, P[:, :1]), set(NAMES)),
    ],
    ids=["input only", "label only", "confidence only", "confidence and label", "all", "one probability"],
)
def test_a_log_gives_exactly_the_features_it_can(batch: QueryBatch, present: set[str]) -> None:
    for units, known in ((UNITS, present), (None, present - LEARNED)):
        row = measure(batch, units).last
        assert {name for name, value in row.items() if np.isfinite(value)} == known


def test_answers_change_no_feature_of_the_inputs() -> None:
    bare, full = measure(session(X), UNITS).last, measure(session(X, P), UNITS).last
    assert all(bare[name] == full[name] for name in INPUT)


def test_confidence_and_label_say_what_the_probabilities_say() -> None:
    """A log that keeps the top probability only still shows the rise of the class aimed at."""
    top = np.linspace(0.6, 0.95, 40)
    full = measure(session(X, np.stack([top, 1.0 - top], axis=1))).last
    short = measure(session(X, confidence=top, labels=np.zeros(40, dtype=np.int64))).last
    for name in (CONFIDENCE | LABEL) - {"answer_following"}:
        assert short[name] == pytest.approx(full[name]), name


def test_a_step_in_columns_that_never_vary_has_no_direction() -> None:
    """Unknown to the units, such a change is still a step, of the smallest length."""
    sample = far_apart(64)
    sample[:, :2] = 7.0
    row = measure(session(7.0 + line()), learn(sample)).last
    assert row["step_length"] == pytest.approx(np.log(1e-9))
    assert np.isnan(row["step_cosine"])
    assert row["step_sparsity"] == -3.0
