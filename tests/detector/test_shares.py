"""The memory of a shard: never exceeded, divided by use, and alike however the log is cut."""

from __future__ import annotations

import numpy as np
import pytest

from detector.pipeline import Shard
from detector.query import Record
from detector.settings import Settings
from detector.shard_state import dump
from detector.shares import DIVIDE_EVERY, Shares
from tests import traffic
from tests.detector.scenario import in_cuts, saved

MEMORY = 6 << 20


def busy(queries: int, models: int, numbers: int = 4, seed: int = 1) -> list[Record]:
    """Short sessions on several models, half of them on the first."""
    rng = np.random.default_rng(seed)
    chosen = np.minimum(rng.geometric(0.5, queries) - 1, models - 1)
    return [
        Record(traffic.START + 0.01 * n, f"m{m}", f"c{n // 3}", [float(n % 11)] * numbers, offset=n)
        for n, m in enumerate(chosen.tolist())
    ]


@pytest.mark.parametrize(
    ("models", "numbers", "memory"), [(1, 4, MEMORY), (5, 4, MEMORY), (3, 4096, 32 << 20)]
)
def test_models_together_never_hold_more_than_the_shard_may(models: int, numbers: int, memory: int) -> None:
    shard = Shard(Settings(learn=False, memory=memory), {})
    log = busy(3 * DIVIDE_EVERY // (1 if numbers == 4 else 16), models, numbers)
    for begin in range(0, len(log), 1024):
        shard.process(log[begin : begin + 1024])
        assert sum(state.allocated for state in shard.models.values()) <= memory
        assert sum(shard.shares.given.values()) <= memory
    assert sum(state.sessions.evicted for state in shard.models.values()) > 0
    assert all(len(state.sessions) > 0 for state in shard.models.values())


def test_shares_follow_use() -> None:
    shares = Shares(1 << 20)
    for name in ("quiet", "busy", "new"):
        shares.first_seen(name)
    assert shares.given == {"quiet": 1 << 19, "busy": 1 << 18, "new": 1 << 17}
    shares.divide({"quiet": 1000, "busy": 200_000})
    assert shares.given["quiet"] < shares.given["busy"] / 20
    assert shares.given["busy"] > 200_000
    assert shares.given["new"] > 0
    assert sum(shares.given.values()) <= (1 << 20) * 7 // 8
    shares.first_seen("busy")
    assert shares.given["busy"] > 200_000


def test_batches_and_saves_change_no_share() -> None:
    settings = Settings(learn=False, memory=MEMORY)
    log = busy(2 * DIVIDE_EVERY + 100, 4)
    whole = Shard(settings, {})
    whole.process(log)
    assert sum(state.sessions.evicted for state in whole.models.values()) > 0
    for size in (501, DIVIDE_EVERY - 1):
        cut = Shard(settings, {})
        in_cuts(cut, log, range(size, len(log), size))
        assert dump(cut) == dump(whole)
    middle = DIVIDE_EVERY + 77
    cut = Shard(settings, {})
    cut.process(log[:middle])
    cut = saved(cut, settings, {})
    cut.process(log[middle:])
    assert dump(cut) == dump(whole)
