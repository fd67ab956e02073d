"""Small generated query logs for tests: benign sessions of a few numbers each, and searches among them.

The "model" is a logistic function of a fixed direction, so that a search really climbs its confidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

D = 8
START = 1_760_000_000.0
_CENTRES = np.random.default_rng(7).normal(size=(3, D)) * 2.0
_WEIGHTS = np.random.default_rng(8).normal(size=(D, 3))


def answer(x: Any) -> list[float]:
    """Probabilities of three classes, rounded as gateways log them."""
    z = x @ _WEIGHTS
    p = np.exp(z - z.max())
    return [round(float(v), 6) for v in p / p.sum()]


def draw(rng: np.random.Generator, n: int) -> Any:
    """Benign inputs [n, D]: independent draws around three centres."""
    return _CENTRES[rng.integers(3, size=n)] + rng.normal(size=(n, D))


def answers(x: Any) -> Any:
    """Probabilities [n, 3] of inputs [n, D]."""
    z = x @ _WEIGHTS
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.round(p / p.sum(axis=1, keepdims=True), 6)


def _query(model: str, client: str, session: str, time: float, n: int, x: Any) -> dict[str, Any]:
    return {
        "timestamp": round(time, 3),
        "model_id": model,
        "client_id": client,
        "session_id": session,
        "request_id": f"{session}-{n}",
        "source_ip": "192.0.2.7",
        "input": [round(float(v), 6) for v in x],
        "probabilities": answer(x),
    }


def benign(sessions: int, *, seed: int, model: str = "toy", queries: int = 16) -> list[dict[str, Any]]:
    """Queries of independent draws around three centres, in sessions, by time."""
    rng = np.random.default_rng(seed)
    out = []
    for s in range(sessions):
        begin = START + rng.uniform(0, 5 * sessions)
        for n in range(int(rng.integers(queries // 2, queries + queries // 2))):
            x = _CENTRES[rng.integers(3)] + rng.normal(size=D)
            begin += rng.exponential(2.0)
            out.append(_query(model, f"user-{seed}-{s}", f"s-{seed}-{s}", begin, n, x))
    return sorted(out, key=lambda q: q["timestamp"])


def inversion(
    *, seed: int, model: str = "toy", queries: int = 200, at: float = START + 100.0
) -> list[dict[str, Any]]:
    """One session that climbs one class's confidence by one-column finite differences."""
    rng = np.random.default_rng(seed)
    x = np.full(D, 20.0)
    out = []
    for n in range(queries):
        probe = x.copy()
        probe[n % D] += 0.01
        out.append(_query(model, f"attacker-{seed}", f"attack-{seed}", at + 0.2 * n, n, probe))
        if n % D == D - 1:
            x = x + 0.05 * _WEIGHTS[:, 0] + rng.normal(size=D) * 1e-4
    return out


def apart(seeds: Iterable[int], step: float = 0.0) -> list[list[dict[str, Any]]]:
    """A search a seed, `step` seconds after one another, each by its own tenant: those of one tenant that
    come to the same place are a campaign, as far as they are in one partition."""
    searches = ((seed, inversion(seed=seed, at=START + 100.0 + step * n)) for n, seed in enumerate(seeds))
    return [[query | {"tenant_id": f"t-{seed}"} for query in search] for seed, search in searches]


def beginnings(sessions: int, accounts: int, *, seconds: float, queries: int = 10) -> list[dict[str, Any]]:
    """The first queries of as many attacks, dealt over `accounts` and evenly over the first `seconds`."""
    out = []
    for n in range(sessions):
        begun = inversion(seed=10_000 + n, queries=queries, at=START + seconds * n / sessions)
        out += [{**query, "client_id": f"patient-{n % accounts}"} for query in begun]
    return sorted(out, key=lambda q: q["timestamp"])


def mixed(*parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Several logs as one, by time."""
    return sorted((q for part in parts for q in part), key=lambda q: q["timestamp"])


def lines(queries: Iterable[dict[str, Any]]) -> list[bytes]:
    """NDJSON lines without their newlines."""
    return [json.dumps(query).encode() for query in queries]


def write(path: Path, queries: Iterable[dict[str, Any]]) -> Path:
    """Write a log file."""
    path.write_bytes(b"".join(line + b"\n" for line in lines(queries)))
    return path
