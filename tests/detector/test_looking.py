"""Looking for what is near only finds what looking at everything finds there."""

from __future__ import annotations

import numpy as np
import pytest

from detector.links import NEAR, ODD, STRANGE, WINDOW, allocate
from detector.looking import HEAD, look_around, look_near, looking


@pytest.mark.parametrize("held", [0, 1, 300, 2 * WINDOW])
@pytest.mark.parametrize("sketch", [2 * HEAD, 31, 32])
def test_the_nearest_within_reach_is_the_nearest(held: int, sketch: int) -> None:
    rng = np.random.default_rng(held + sketch)
    links = allocate(sketch, clients=6, slots=2)
    links.counters[ODD] = held
    links.sketch[:] = rng.normal(size=(sketch, WINDOW)) / np.sqrt(sketch)
    links.client[: min(held, WINDOW)] = rng.integers(-1, 6, min(held, WINDOW))
    tenant = np.array([0, 0, 0, 0, 1, 1], dtype=np.int64)
    whole, near = looking(), looking()
    found = 0
    for query in range(200):
        c = int(rng.integers(6))
        close = links.sketch[:, int(rng.integers(WINDOW))].astype(np.float64)
        x = close + rng.normal(size=sketch) * rng.choice([1e-7, 0.02, 0.3]) / np.sqrt(sketch)
        reach = float(rng.choice([1e-4, 0.05, 0.25, 1.0]))
        look_around(links, tenant, c, x, whole)
        look_near(links, tenant, c, x, reach, near)
        assert np.isinf(near.found[STRANGE]), query
        if whole.found[NEAR] < reach:
            found += 1
            assert near.found[NEAR] == pytest.approx(whole.found[NEAR], rel=1e-3, abs=1e-6)
            assert near.where[NEAR] == whole.where[NEAR]
        else:
            assert not near.found[NEAR] < reach
    assert found > 10 or held < 300
