"""A fixed finding for tests of the alert document: every number in it is written down here."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from detector import profile
from detector.evidence import SessionTail
from detector.features import inputs
from detector.features.catalogue import INDEX, NAMES
from detector.finding import Finding
from detector.policy import SESSION
from detector.profile import ModelProfile
from detector.query import FloatArray, Record
from detector.rows import Rows

SECRET = 48_151.623_42
"""Occurs in the input and must not occur in the document."""


def spread() -> FloatArray:
    """Features that are evenly spread over [0, 1], each in an order of its own."""
    even = np.linspace(0.0, 1.0, 1001)
    return np.column_stack([np.random.default_rng(j).permutation(even) for j in range(len(NAMES))])


@cache
def judge() -> ModelProfile:
    """A profile of features that were spread like that."""
    rows = spread()
    sessions, ordinals = np.arange(1001) // 5, np.arange(1001) % 5 + 1
    built = profile.build(1, inputs.unlearned(4), Rows(rows, sessions, sessions, ordinals), 250)
    assert built is not None
    tails = (SessionTail(2.0, 2.5, 0.05, 250), *[SessionTail(3.0, 2.5, 0.05, 250)] * 3)
    return replace(built, tails=tails, late=(SessionTail(6.0, 5.0, 0.01, 250),) * 2, version="1-0123456789ab")


def values(**odd: float) -> FloatArray:
    """Features at their normal median, but for these."""
    row = np.full(len(NAMES), 0.5)
    for name, value in odd.items():
        row[INDEX[name]] = value
    return row


def record(**changes: Any) -> Record:
    """The query that triggered the finding."""
    fields: dict[str, Any] = {
        "timestamp": 1_760_000_123.456,
        "model_id": "credit",
        "client_id": "key-7",
        "input": [SECRET, -SECRET, 1.5, 2.5],
        "session_id": "s-1",
        "request_id": "r-99",
        "source_ip": "192.0.2.7",
        "user_agent": "python-requests/2.32",
        "tenant_id": "acme",
        "probabilities": [0.25, 0.75],
        "offset": 4711,
        "raw": b"as it came",
    }
    return Record(**(fields | changes))


def finding(**changes: Any) -> Finding:
    """A first alert on coordinate steps among near-duplicates that drive one class up."""
    coordinates = values(near_duplicates=1.0, step_sparsity=-3.0, confidence_trend=3.0, off_manifold=3.0)
    fields: dict[str, Any] = {
        "kind": SESSION,
        "model_id": "credit",
        "tenant": "acme",
        "record": record(),
        "queries": 84,
        "sessions": 3,
        "entity_start": 1_760_000_000.0,
        "began": 1_760_000_123.456,
        "episode": 1,
        "revision": 0,
        "level": 1,
        "evidence": 27.25,
        "late": False,
        "threshold": 17.5,
        "habit": 0.0,
        "features": coordinates,
        "recognised": judge().ensemble.attack_families(coordinates),
        "series": ([0.25, None, 0.5], [None, 0.125, 0.0625]),
        "profile": judge(),
    }
    return Finding(**(fields | changes))
