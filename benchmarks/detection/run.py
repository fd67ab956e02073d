"""One deployment: make its log, fit a profile on the history, replay the trace, compare with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.detection.collect import read
from benchmarks.traces import HISTORY, TRACE, SessionTruth, make
from benchmarks.traces.attacks import ATTACKS
from detector.config import Config
from detector.edge import settings_of
from detector.fitting import Measuring, Sampling
from detector.pipeline import Shard

Outputs = Literal["probabilities", "confidence", "label", "none"]


@dataclass(frozen=True)
class Deployment:
    """What to measure on. `outputs` is what the log tells of the answers; `dilution` the share of
    ordinary queries mixed into each attack session."""

    seed: int
    history_sessions: int
    benign_sessions: int
    repeats: int
    rescale: bool = False
    outputs: Outputs = "probabilities"
    dilution: float = 0.0
    models: tuple[str, ...] = ("digits", "cancer", "wine")


@dataclass(frozen=True)
class Judged:
    """One session of the trace: what it was, and the first alert on it (queries seen, technique), if any."""

    truth: SessionTruth
    alerted_after: int | None
    technique: str


def measure(deployment: Deployment, directory: Path) -> list[Judged]:
    """Make the log in `directory`, fit, replay, compare."""
    truth = make(
        directory,
        seed=deployment.seed,
        rescale=deployment.rescale,
        history_sessions=deployment.history_sessions,
        benign_sessions=deployment.benign_sessions,
        attacks=tuple(ATTACKS),
        repeats=deployment.repeats,
        dilution=deployment.dilution,
        outputs=deployment.outputs,
        models=deployment.models,
    )
    settings = settings_of(Config(), learn=False)
    history, trace = read(directory / HISTORY), read(directory / TRACE)
    sampling = Sampling()
    for records in history:
        sampling.observe(records)
    measuring = Measuring(settings, sampling.units())
    for records in history:
        measuring.observe(records)
    profiles, missing = measuring.profiles()
    if missing:
        raise ValueError(f"too little history for {', '.join(missing)}")
    first: dict[tuple[str, str], tuple[int, str]] = {}
    shard = Shard(settings, profiles)
    for records in trace:
        for alert in shard.process(records).alerts:
            ours = alert.document["querywatch"]
            key = (alert.document["user"]["id"], ours["session"]["id"])
            first.setdefault(key, (ours["session"]["queries"], ours["technique"]["name"]))
    nothing: tuple[int | None, str] = (None, "")
    return [
        Judged(session, *first.get((session.client_id, session.session_id), nothing))
        for session in truth.sessions
    ]
