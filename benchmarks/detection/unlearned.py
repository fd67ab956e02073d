"""Evaluation points as a detector without a profile measures them: in units of the first queries that came.

What the prior is taught on and tried on: the history, and after it the trace, in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.collect import Points, Watched, points_of, read
from benchmarks.traces import HISTORY, TRACE, Truth
from detector.config import Config
from detector.edge import settings_of
from detector.learner import Learner
from detector.policy import OTHERS
from detector.router import Router
from detector.rows import Rows


@dataclass(frozen=True)
class Unlearned:
    """`past` of the benign history and `now` of the trace; `others`: points of the other kinds of entities
    of the history, in the order of `OTHERS`. Surprises are all 0: there is nothing yet to be surprised by."""

    past: Points
    now: Points
    others: tuple[Rows, ...]

    def save(self, path: Path) -> None:
        """Write everything as arrays."""
        arrays: dict[str, Any] = {}
        for name, points in (("past", self.past), ("now", self.now)):
            arrays |= {f"{name}/{key}": np.asarray(value) for key, value in vars(points).items()}
        for kind, rows in zip(OTHERS, self.others, strict=True):
            arrays |= {f"{kind}/{key}": value for key, value in rows._asdict().items()}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Unlearned:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            past, now = (Points.of_arrays(stored, f"{name}/") for name in ("past", "now"))
            others = tuple(Rows(*(stored[f"{kind}/{key}"] for key in Rows._fields)) for kind in OTHERS)
        return cls(past, now, others)


def collect_unlearned(directory: Path, truth: Truth) -> list[Unlearned]:
    """What each model's state measures, in the order of the models' names."""
    settings = settings_of(Config(), learn=True)
    router = Router(lambda name, d: Watched(name, d, settings), {}, "", 0)
    kinds = {(s.client_id, s.session_id): (s.family, s.kind) for s in truth.sessions}
    for records in read(directory / HISTORY):
        router.process(records)
    past = {name: (points_of(state, {}), _others(state)) for name, state in router.models.items()}
    router.next_offset = 0  # the second file is counted from 0 again
    for records in read(directory / TRACE):
        router.process(records)
    return [
        Unlearned(past[name][0], _after(past[name][0], points_of(state, kinds)), past[name][1])
        for name, state in sorted(router.models.items())
    ]


def _others(state: Watched) -> tuple[Rows, ...]:
    learner = state.learner or Learner(build=False)
    return tuple(learner.clean(kind) for kind in OTHERS)


def _after(past: Points, both: Points) -> Points:
    """The points of `both` that are not among those of `past`, which came first."""
    n = len(past.features)
    return Points(
        data_set=both.data_set,
        features=both.features[n:],
        surprises=both.surprises[n:],
        sessions=both.sessions[n:],
        queries=both.queries[n:],
        family=both.family[n:],
        kind=both.kind[n:],
        benign_sessions=both.benign_sessions - past.benign_sessions,
    )
