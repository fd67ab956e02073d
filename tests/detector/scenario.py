"""Generated traffic as records, and the ways in which tests run it through a shard.

`tests.traffic` generates the queries of one model; here are further kinds of benign sessions, and records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from detector.alert import Alert
from detector.fitting import Measuring, Sampling
from detector.pipeline import Outcome, Shard
from detector.profile import ModelProfile
from detector.query import Record
from detector.settings import Settings
from detector.shard_state import dump, restore
from tests import traffic

FROZEN = Settings(learn=False)


def records(*logs: Iterable[dict[str, Any]]) -> list[Record]:
    """Queries of several logs as records in order of time, offsets counted from 0."""
    return [Record(**query, offset=n) for n, query in enumerate(traffic.mixed(*logs))]


def health_checks(*, seed: int, model: str = "toy", queries: int = 40) -> list[dict[str, Any]]:
    """One benign session that asks the same again and again."""
    x = np.random.default_rng(seed).normal(size=traffic.D)
    log = traffic.benign(1, seed=seed, model=model)
    first = log[0] | {"input": [round(float(v), 6) for v in x], "probabilities": traffic.answer(x)}
    return [first | {"timestamp": first["timestamp"] + 5.0 * n} for n in range(queries)]


def what_if(*, seed: int, model: str = "toy", queries: int = 24) -> list[dict[str, Any]]:
    """One benign session that edits a form: some numbers change by round amounts, now and then all do."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=traffic.D), 1)
    log = traffic.benign(1, seed=seed, model=model)
    out = []
    for n in range(queries):
        changed = rng.random(traffic.D) < (1.0 if n % 8 == 0 else 0.3)
        x = np.where(changed, np.round(rng.normal(size=traffic.D), 1), x)
        query = {"timestamp": log[0]["timestamp"] + 9.0 * n, "input": x.tolist()}
        out.append(log[0] | query | {"probabilities": traffic.answer(x)})
    return out


def benign(sessions: int, *, seed: int, model: str = "toy") -> list[dict[str, Any]]:
    """Mostly independent queries, and a tenth each of health checks and of edited forms."""
    odd = range(1, 1 + sessions // 10)
    return traffic.mixed(
        traffic.benign(sessions - 2 * len(odd), seed=seed, model=model),
        *(health_checks(seed=10_000 * seed + n, model=model) for n in odd),
        *(what_if(seed=20_000 * seed + n, model=model) for n in odd),
    )


@cache
def profiles(*models: str) -> dict[str, ModelProfile]:
    """Profiles fitted on 250 benign sessions of each model."""
    history = records(*(benign(250, seed=1, model=model) for model in models))
    return fit(history)


def fit(history: Sequence[Record]) -> dict[str, ModelProfile]:
    """Profiles of all models in the history; every one must get one."""
    sampling = Sampling()
    sampling.observe(history)
    measuring = Measuring(Settings(), sampling.units())
    measuring.observe(history)
    made, missing = measuring.profiles()
    assert not missing
    return made


def in_cuts(shard: Shard, log: Sequence[Record], cuts: Sequence[int]) -> Outcome:
    """Process `log` in pieces that end at `cuts`."""
    whole = Outcome()
    for begin, end in zip([0, *cuts], [*cuts, len(log)], strict=True):
        part = shard.process(log[begin:end])
        whole.alerts += part.alerts
        whole.dead_letters += part.dead_letters
        whole.queries += part.queries
        whole.repeated += part.repeated
    return whole


def in_batches(shard: Shard, log: Sequence[Record], size: int) -> Outcome:
    """Process `log` in pieces of `size` records."""
    return in_cuts(shard, log, range(size, len(log), size))


def saved(shard: Shard, settings: Settings, profiles: Mapping[str, ModelProfile]) -> Shard:
    """The shard after a save and a restart."""
    return restore(dump(shard), settings, profiles)


def lines(alerts: Iterable[Alert]) -> list[bytes]:
    """Alerts as they are written."""
    return [alert.to_json() for alert in alerts]
