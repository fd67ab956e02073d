"""Evaluation points of a deployment with their truth: what the recogniser is taught on and tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.traces import HISTORY, TRACE, Truth
from detector.columns import QueryBatch
from detector.config import Config
from detector.edge import open_source, read_log, settings_of
from detector.features.catalogue import FAMILIES, NAMES, SIDES
from detector.features.inputs import Inputs
from detector.fitting import Sampling
from detector.learner import Learner
from detector.model_state import ModelState
from detector.query import DeadLetter, FloatArray, Record
from detector.router import Router
from detector.rows import ordinals
from detector.settings import Settings
from models.ensemble import fold_of
from models.tail import Tail

IntArray = npt.NDArray[np.int64]
EVERYTHING = 1 << 40


@dataclass(frozen=True)
class Points:
    """n evaluation points of one model of one deployment, in time order.

    `surprises` [n, f] signed; `features` [n, f]; `sessions` [n] numbers a session; `queries` [n] so far;
    `family`, `kind` [n] the truth ("benign" for history). `benign_sessions` counts them with the short ones.
    """

    data_set: str
    features: FloatArray
    surprises: FloatArray
    sessions: IntArray
    queries: IntArray
    family: list[str]
    kind: list[str]
    benign_sessions: int

    def save(self, path: Path) -> None:
        """Write everything as arrays."""
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(self).items()}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Points:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls.of_arrays(stored)

    @classmethod
    def of_arrays(cls, stored: Mapping[str, Any], prefix: str = "") -> Points:
        """Of arrays whose names begin with `prefix`."""
        return cls(
            data_set=str(stored[f"{prefix}data_set"]),
            features=stored[f"{prefix}features"],
            surprises=stored[f"{prefix}surprises"],
            sessions=stored[f"{prefix}sessions"],
            queries=stored[f"{prefix}queries"],
            family=stored[f"{prefix}family"].tolist(),
            kind=stored[f"{prefix}kind"].tolist(),
            benign_sessions=int(stored[f"{prefix}benign_sessions"]),
        )

    @property
    def so_far(self) -> IntArray:
        """The how many-th of its session each point is [n], from 1."""
        return ordinals(self.sessions)

    def means(self) -> FloatArray:
        """Means [n, f] of the features over the points of the same session so far; NaN: none was known."""
        means = np.empty_like(self.features)
        for session in np.unique(self.sessions):
            mine = np.flatnonzero(self.sessions == session)
            known = ~np.isnan(self.features[mine])
            count = known.cumsum(axis=0)
            total = np.where(known, self.features[mine], 0.0).cumsum(axis=0)
            means[mine] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return means


class Watched(ModelState):
    """Measures one model in given units, or in those that it learns; judges nothing, keeps every evaluation
    point of sessions, also those of other entities if it learns."""

    def __init__(self, name: str, d: int, settings: Settings, inputs: Inputs | None = None) -> None:
        super().__init__(name, d, replace(settings, prior=False), None)
        if inputs is not None:
            self.use_units(inputs)
        if self.learner is not None:
            self.learner = Learner(window=EVERYTHING, build=False)
        self.beginning = self.past = self.sent = None
        self.sessions_of_points: list[tuple[str, str]] = []
        self.queries: list[int] = []
        self.features: list[FloatArray] = []

    def on_points(self, batch: QueryBatch, rows: IntArray, meta: FloatArray, features: FloatArray) -> None:
        if not self.measured:
            return  # in no units yet
        records = [batch.records[row] for row in rows.tolist()]
        self.sessions_of_points += [(record.client_id, record.session_id) for record in records]
        self.queries += meta[:, 3].astype(np.int64).tolist()
        self.features.append(features.copy())


def read(path: Path) -> list[list[Record]]:
    """All records of a trace, which has no bad ones, in batches."""

    def refuse(letters: list[DeadLetter]) -> None:
        if letters:
            raise ValueError(f"the benchmark's own log has a bad record: {letters[0].detail}")

    config = Config()
    return [list(records) for records in read_log(open_source([path], config), config, refuse).batches()]


def collect(directory: Path, truth: Truth) -> tuple[list[Points], list[Points]]:
    """Per model: points of the history (by models that had not seen them) and of the trace."""
    history, trace = read(directory / HISTORY), read(directory / TRACE)
    sampling = Sampling()
    for records in history:
        sampling.observe(records)
    units = sampling.units()
    kinds = {(s.client_id, s.session_id): (s.family, s.kind) for s in truth.sessions}
    before = _watch(history, {name: own.apart for name, own in units.items()})
    after = _watch(trace, {name: own.whole for name, own in units.items()})
    learned, tried = [], []
    for name in sorted(units):
        past = points_of(before[name], {})
        now = points_of(after[name], kinds)
        fold = fold_of(past.sessions)
        for held in (0, 1):
            tail = _tail(past.features[fold != held])
            past.surprises[fold == held] = tail.see(past.features[fold == held]).signed
        now.surprises[:] = _tail(past.features).see(now.features).signed
        learned.append(past)
        tried.append(now)
    return learned, tried


def _watch(log: list[list[Record]], units: dict[str, Inputs]) -> dict[str, Watched]:
    settings = settings_of(Config(), learn=False)
    router = Router(
        lambda name, d: Watched(name, d, settings, units[name]),
        {name: len(inputs.location) for name, inputs in units.items()},
        "",
        0,
    )
    for records in log:
        router.process(records)
    return router.models


def _tail(features: FloatArray) -> Tail:
    tail = Tail(SIDES, FAMILIES)
    tail.learn(features)
    return tail


def points_of(watched: Watched, kinds: dict[tuple[str, str], tuple[str, str]]) -> Points:
    """What was kept, with the truth about it: family and kind by client and session."""
    numbers: dict[tuple[str, str], int] = {}
    sessions = [numbers.setdefault(session, len(numbers)) for session in watched.sessions_of_points]
    truth = [kinds.get(session, ("benign", "history")) for session in watched.sessions_of_points]
    features = np.vstack(watched.features) if watched.features else np.empty((0, len(NAMES)))
    return Points(
        data_set=watched.model_id.rpartition("-")[0],
        features=features,
        surprises=np.zeros_like(features),
        sessions=np.array(sessions, dtype=np.int64),
        queries=np.array(watched.queries, dtype=np.int64),
        family=[family for family, _ in truth],
        kind=[kind for _, kind in truth],
        benign_sessions=watched.begun,
    )
