"""A synthetic query log of the shape of a busy model's: many interleaved sessions of one model."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

START = 1_760_000_000.0
CLASSES = 10
ROWS = 1000
"""Queries drawn at one go."""
ATTACKS = 100
"""Where attacks are asked for, one of so many sessions at a time is one: an ascent."""


def write_log(
    path: Path,
    queries: int,
    numbers: int,
    sessions: int,
    *,
    seed: int,
    base64_inputs: bool,
    attacks: bool = False,
) -> None:
    """Write `queries` records of `numbers` numbers each, of about `sessions` sessions that run at once.

    Inputs are drawn around ten centres, rounded to four decimals (or float32 in base64), answers are the
    probabilities of ten classes. The same arguments give the same bytes.
    """
    with path.open("wb") as file:
        for line in _lines(queries, numbers, sessions, seed, base64_inputs, attacks):
            file.write(line + b"\n")


def _lines(
    queries: int, numbers: int, sessions: int, seed: int, base64_inputs: bool, attacks: bool
) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(CLASSES, numbers))
    uphill = _weights(numbers)[:, 0]
    length = max(1, queries // sessions)
    # A tenth of the sessions are under way at any time; each gives way to a new one when it is done.
    open_at_once = max(1, sessions // 10)
    time = START + seed * 1e7
    for first in range(0, queries, ROWS):
        count = min(ROWS, queries - first)
        x = centres[rng.integers(CLASSES, size=count)] + rng.normal(size=(count, numbers))
        lanes = rng.integers(open_at_once, size=count)
        if attacks:
            _search(x, centres[0], uphill, lanes, first)
        p = answers(x)
        for row in range(count):
            n = first + row
            time += 0.01
            searching = attacks and lanes[row] % ATTACKS == 0
            session = f"{seed}-{lanes[row]}-{0 if searching else n // (length * open_at_once)}"
            yield record(
                time,
                f"client-{session}",
                f"session-{session}",
                f"request-{seed}-{n}",
                packed_input(x[row], base64_inputs),
                packed_numbers(p[row], 6),
            )


def answers(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the model answers to inputs [n, d]: probabilities [n, CLASSES]."""
    z = x @ _weights(x.shape[1])
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float64)


def _weights(numbers: int) -> NDArray[np.float64]:
    weights = np.random.default_rng(1).normal(size=(numbers, CLASSES))
    return np.asarray(weights / np.sqrt(numbers), dtype=np.float64)


def _search(
    x: NDArray[np.float64],
    start: NDArray[np.float64],
    uphill: NDArray[np.float64],
    lanes: NDArray[np.int64],
    first: int,
) -> None:
    """Turn the rows of some lanes into an ascent by finite differences: steps along one column each, then
    one uphill, from a point far off."""
    for row in np.flatnonzero(lanes % ATTACKS == 0):
        x[row] = 4.0 * start + 0.002 * (first + row) * uphill
        x[row, (first + row) % x.shape[1]] += 0.01


def record(time: float, client: str, session: str, request: str, packed: bytes, answer: bytes) -> bytes:
    """One line of the log, without its newline; `packed` and `answer` are JSON."""
    ids = (
        f'{{"timestamp": {time:.3f}, "model_id": "bench", "client_id": "{client}", '
        f'"session_id": "{session}", "request_id": "{request}", "source_ip": "192.0.2.7", "input": '
    )
    return ids.encode() + b'%b, "probabilities": %b}' % (packed, answer)


def packed_input(x: NDArray[np.float64], base64_input: bool) -> bytes:
    """An input as the log has it: a JSON list, or float32 in base64."""
    if not base64_input:
        return packed_numbers(x, 4)
    text = base64.b64encode(x.astype("<f4").tobytes())
    return b'{"b64": "%b", "dtype": "float32", "shape": [%d]}' % (text, len(x))


def packed_numbers(x: NDArray[np.float64], decimals: int) -> bytes:
    """Numbers as a JSON list, as Python's `json` writes them."""
    return repr(np.round(x, decimals).tolist()).encode()
