"""One address, several users."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.traces.benign.client import Client
from benchmarks.traces.benign.edits import crossed_grid, habitual, recourse, what_if
from benchmarks.traces.benign.preparation import augmentation
from benchmarks.traces.benign.rows import class_skewed, ordinary, retries
from detector.query import FloatArray


def shared_address(client: Client, n: int) -> FloatArray:
    """NAT or a shared key: several users of other kinds, query by query mixed."""
    rng = client.rng
    users = int(rng.integers(3, 11))
    whose = rng.integers(0, users, n)
    sent = np.empty((n, client.population.dataset.columns))
    for user in range(users):
        mine = np.flatnonzero(whose == user)
        if mine.size:
            kind = SINGLE_USER[int(rng.integers(len(SINGLE_USER)))]
            mix = rng.dirichlet(np.full(client.mix.size, 1.0))
            sent[mine] = kind(Client(client.population, rng, mix), mine.size)
    return sent


SINGLE_USER: tuple[Callable[[Client, int], FloatArray], ...] = (
    ordinary,
    ordinary,
    class_skewed,
    retries,
    what_if,
    augmentation,
    habitual,
    recourse,
    crossed_grid,
)
