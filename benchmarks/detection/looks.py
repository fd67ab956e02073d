"""How an attack looks in the log, and what its alert rests on: what the pictures are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from benchmarks.detection.judge import Found
from benchmarks.traces.log import Session
from benchmarks.traces.targets import Target
from detector.query import FloatArray

RECENT = 16
"""Earlier queries that a distance is measured to, as the detector does."""
SAMPLE = 400
"""Benign inputs whose distances give the unit."""


class Look(msgspec.Struct, frozen=True):
    """One attack session of n queries.

    confidence   the probability of the answered class, per query
    distance     to the nearest different one of the last 16 inputs, per query, in typical distances of two
                 benign inputs; None for the first and for an exact repeat
    alert        place of the query that raised the alert, from 0; None: missed
    technique    that the alert named
    features     that the alert shows, by their contribution, most first
    """

    kind: str
    family: str
    model_id: str
    confidence: list[float]
    distance: list[float | None]
    alert: int | None
    technique: str
    features: list[str]


def looks(
    targets: Sequence[Target],
    benign: Sequence[Session],
    attacks: Sequence[Sequence[Session]],
    found: Sequence[Found],
    alerts: Iterable[dict[str, Any]],
) -> list[Look]:
    """A look at one attack of each kind: the first that was found, else the first. Attacks of more than one
    session are passed over."""
    of_model = {target.model_id: target for target in targets}
    unit = {model_id: _typical(target, benign) for model_id, target in of_model.items()}
    documents = {
        (alert["service"]["name"], alert["querywatch"]["trigger"]["request_id"]): alert for alert in alerts
    }
    chosen: dict[str, tuple[Session, Found]] = {}
    for sessions, result in zip(attacks, found, strict=True):
        earlier = chosen.get(result.kind)
        better = earlier is None or (earlier[1].after is None and result.after is not None)
        if better and len(sessions) == 1:
            chosen[result.kind] = (sessions[0], result)
    return [
        _look(session, of_model[session.model_id], unit[session.model_id], result, documents)
        for session, result in chosen.values()
    ]


def _look(
    session: Session,
    target: Target,
    unit: float,
    result: Found,
    documents: Mapping[tuple[str, str], dict[str, Any]],
) -> Look:
    place = None if result.after_all is None else result.after_all - 1
    document = documents.get((session.model_id, f"{session.request_prefix}-{place or 0:04x}"))
    ours = document["querywatch"] if document is not None and place is not None else None
    return Look(
        kind=session.kind,
        family=session.family,
        model_id=session.model_id,
        confidence=[float(c) for c in session.answers.max(axis=1)],
        distance=nearest(target.dataset.to_unit(session.inputs), unit),
        alert=place,
        technique=ours["technique"]["name"] if ours else "",
        features=[feature["name"] for feature in ours["evidence"]["features"]] if ours else [],
    )


def nearest(inputs: FloatArray, unit: float) -> list[float | None]:
    """Distance of each input [n, d] to the nearest of the 16 before it, divided by `unit`; None for the
    first, and where one of them is the same."""
    away: list[float | None] = []
    for i, row in enumerate(inputs):
        steps = np.sqrt(((inputs[max(0, i - RECENT) : i] - row) ** 2).sum(axis=1))
        away.append(float(steps.min()) / unit if steps.size and steps.min() > 0.0 else None)
    return away


def _typical(target: Target, benign: Sequence[Session]) -> float:
    """The median distance of two benign inputs of a model."""
    rows = np.vstack([s.inputs for s in benign if s.model_id == target.model_id])
    some = target.dataset.to_unit(
        rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(np.int64)]
    )
    apart = np.sqrt(((some[:, None] - some[None]) ** 2).sum(axis=2))
    return float(np.median(apart[np.triu_indices(len(some), 1)]))
