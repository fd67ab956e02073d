"""A synthetic query log of the shape of a busy model's: many interleaved sessions of one model."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

START = 1_760_000_000.0
CLASSES = 10
ROWS = 1000
"""Queries drawn at one go."""


def write_log(
    path: Path, queries: int, numbers: int, sessions: int, *, seed: int, base64_inputs: bool
) -> None:
    """Write `queries` records of `numbers` numbers each, of about `sessions` sessions that run at once.

    Inputs are drawn around ten centres, rounded to four decimals (or float32 in base64), answers are the
    probabilities of ten classes. The same arguments give the same bytes.
    """
    with path.open("w", encoding="utf-8") as file:
        for line in _lines(queries, numbers, sessions, seed, base64_inputs):
            file.write(line + "\n")


def _lines(queries: int, numbers: int, sessions: int, seed: int, base64_inputs: bool) -> Iterator[str]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(CLASSES, numbers))
    weights = np.random.default_rng(1).normal(size=(numbers, CLASSES)) / np.sqrt(numbers)
    length = max(1, queries // sessions)
    time = START + seed * 1e7
    for first in range(0, queries, ROWS):
        count = min(ROWS, queries - first)
        x = centres[rng.integers(CLASSES, size=count)] + rng.normal(size=(count, numbers))
        z = x @ weights
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        # A tenth of the sessions are under way at any time; each gives way to a new one when it is done.
        lanes = rng.integers(max(1, sessions // 10), size=count)
        for row in range(count):
            n = first + row
            time += 0.01
            generation = n // (length * max(1, sessions // 10))
            session = f"{seed}-{lanes[row]}-{generation}"
            numbers_in = (
                {
                    "b64": base64.b64encode(x[row].astype("<f4").tobytes()).decode(),
                    "dtype": "float32",
                    "shape": [numbers],
                }
                if base64_inputs
                else np.round(x[row], 4).tolist()
            )
            yield json.dumps(
                {
                    "timestamp": round(time, 3),
                    "model_id": "bench",
                    "client_id": f"client-{session}",
                    "session_id": f"session-{session}",
                    "request_id": f"request-{seed}-{n}",
                    "source_ip": "192.0.2.7",
                    "input": numbers_in,
                    "probabilities": np.round(p[row], 6).tolist(),
                }
            )
