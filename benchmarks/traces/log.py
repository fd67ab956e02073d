"""The log that a gateway would have written: records in time order, deterministic gzip."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from benchmarks.traces.recorder import significant
from benchmarks.traces.recording import BoolArray
from detector.query import FloatArray, Record

Outputs = Literal["probabilities", "confidence", "rounded", "label", "none"]
"""What a log tells of the answers; `rounded` is label and confidence with two decimals."""
OUTPUT_DIGITS = 6


@dataclass(frozen=True)
class Session:
    """All queries of one session: inputs [n, d] as sent, answers [n, k], times [n] in epoch seconds.

    own [n]     True for queries that an attack made
    campaign    the attack that this session is one of several of, else empty
    natural     True for an attack that writes rows as the data's own source does
    """

    session_id: str
    client_id: str
    model_id: str
    kind: str
    family: str
    source_ip: str
    user_agent: str
    request_prefix: str
    inputs: FloatArray
    answers: FloatArray
    times: FloatArray
    own: BoolArray
    campaign: str = ""
    natural: bool = False


@dataclass(frozen=True)
class Units:
    """Per-column factors and offsets [d]: the deployment logs x * factor + offset."""

    factor: FloatArray
    offset: FloatArray

    @classmethod
    def draw(cls, rng: np.random.Generator, columns: int) -> Units:
        """Random units: factors 1e-3 to 1e3 (three digits), offsets up to 1e5 (whole)."""
        factor = significant(10.0 ** rng.uniform(-3, 3, columns), 3)
        return cls(factor, np.round(rng.uniform(-1e5, 1e5, columns)))

    def apply(self, x: FloatArray) -> FloatArray:
        """x [n, d] in the log's units; 15 digits keep every step that the client made."""
        return significant(x * self.factor + self.offset, 15)


def write(
    path: Path, sessions: list[Session], outputs: Outputs, units: dict[str, Units] | None, level: int = 6
) -> int:
    """Writes all sessions as gzipped NDJSON, interleaved by time. Returns the number of records."""
    order = _by_time(sessions)
    waiting = [_records(s, outputs, units) for s in sessions]
    encode = msgspec.json.Encoder().encode
    # A fixed file name and time in the gzip header: the same seed gives the same bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as file:
        for who in order:
            file.write(encode(next(waiting[who])) + b"\n")
    return len(order)


def read_back(sessions: list[Session], outputs: Outputs, units: dict[str, Units] | None) -> Iterator[Record]:
    """The records that reading the log back would give, without writing it."""
    waiting = [_records(s, outputs, units) for s in sessions]
    for offset, who in enumerate(_by_time(sessions)):
        yield Record(**next(waiting[who]), offset=offset)


def _by_time(sessions: list[Session]) -> list[int]:
    """The session of each record, in time order."""
    times = np.concatenate([s.times for s in sessions])
    owner = np.repeat(np.arange(len(sessions)), [len(s.times) for s in sessions])
    mine: list[int] = owner[np.argsort(times, kind="stable")].tolist()
    return mine


def _records(s: Session, outputs: Outputs, units: dict[str, Units] | None) -> Iterator[dict[str, Any]]:
    inputs = units[s.model_id].apply(s.inputs) if units else s.inputs
    whole = np.all(inputs == np.round(inputs), axis=1)
    answers = significant(s.answers, OUTPUT_DIGITS)
    for i in range(len(s.times)):
        record: dict[str, Any] = {
            "timestamp": float(s.times[i]),
            "model_id": s.model_id,
            "client_id": s.client_id,
            "session_id": s.session_id,
            "request_id": f"{s.request_prefix}-{i:04x}",
            "source_ip": s.source_ip,
            "user_agent": s.user_agent,
            "input": inputs[i].astype(np.int64).tolist() if whole[i] else inputs[i].tolist(),
        }
        if outputs == "probabilities":
            record["probabilities"] = answers[i].tolist()
        elif outputs == "confidence":
            record["confidence"] = float(answers[i].max())
            record["label"] = int(answers[i].argmax())
        elif outputs == "rounded":
            record["confidence"] = round(float(answers[i].max()), 2)
            record["label"] = int(answers[i].argmax())
        elif outputs == "label":
            record["label"] = int(answers[i].argmax())
        yield record
