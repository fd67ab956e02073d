"""What the log's own units do to the features: nothing."""

from __future__ import annotations

import numpy as np
import pytest

from detector.features.inputs import learn
from detector.query import FloatArray
from tests.detector.features import scenarios as s
from tests.detector.features.stream import measure, session


def test_a_column_round_200_000_keeps_steps_of_a_thousandth() -> None:
    """In float32 the neighbours of 200,000 are 0.016 away: these steps would be lost or jumps."""
    x = np.zeros((100, 4))
    x[:, 0] = 200_000.0 + 0.001 * np.arange(100)
    row = measure(session(x)).last
    assert row["step_length"] == pytest.approx(np.log(0.001), abs=1e-6)
    assert row["step_irregularity"] == pytest.approx(0.0, abs=1e-3)
    assert row["step_cosine"] == pytest.approx(1.0, abs=1e-6)
    assert row["one_column_steps"] == 1.0
    assert row["exact_duplicates"] == 0.0


def test_an_offset_of_200_000_changes_no_feature_of_small_steps() -> None:
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(500, 4)) * 0.01
    x = np.cumsum(rng.normal(size=(100, 4)) * 0.001, axis=0)
    near, far = (measure(session(x + at), learn(sample + at)).features for at in (0.0, 200_000.0))
    assert np.allclose(near, far, rtol=0.0, atol=1e-4, equal_nan=True)


def _noise(d: int) -> FloatArray:
    return s.noise_round_a_centre(100, d)


@pytest.mark.parametrize("d", [2, 3, 16, 64])
@pytest.mark.parametrize("scenario", [s.far_apart, s.walk, _noise], ids=["far_apart", "walk", "noise"])
def test_multiplying_and_shifting_columns_changes_nothing_but_rounding(scenario: object, d: int) -> None:
    assert callable(scenario)
    x: FloatArray = scenario(d=d)
    rng = np.random.default_rng(d)
    sample = rng.normal(size=(300, d))
    sample[:, ::3] = np.rint(2.0 * sample[:, ::3])  # some columns are discrete
    factor = np.exp(rng.normal(0.0, 3.0, d))
    offset = rng.normal(size=d) * factor * 10.0
    p = rng.dirichlet(np.ones(4), len(x))
    plain = measure(session(x, p), learn(sample))
    scaled = measure(session(x * factor + offset, p), learn(sample * factor + offset))
    assert np.allclose(plain.features, scaled.features, rtol=1e-4, atol=1e-4, equal_nan=True)
