"""Results kept on disk, so that a benchmark which was interrupted goes on where it stopped.

A key says everything that a result follows from: parameters, and a fingerprint of the code that makes it.
Other code or other parameters give another key, so nothing in the folder is ever out of date.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from benchmarks.traces.recording import Recording

ROOT = Path(__file__).parents[2]
TRACES = ("benchmarks/traces",)
_HERE = "benchmarks/detection"
_CASES = (*TRACES, *(f"{_HERE}/{name}.py" for name in ("judge", "run", "workload")))
MEASURED = (*_CASES, "detector", "models", "connectors")
PEERS = (*_CASES, f"{_HERE}/compare.py", f"{_HERE}/peers")
LOOKS = (f"{_HERE}/compare.py", f"{_HERE}/looks.py")
UNPROFILED = (f"{_HERE}/no_profile.py",)
CONTAMINATED = (f"{_HERE}/contaminated.py",)
"""The code that makes recordings, that a measurement rests on, that a peer's measurement rests on; and what
a look at an attack, a pass without a profile, or a contaminated history rests on beside a measurement."""
TOOLS = ("adversarial-robustness-toolbox", "cma", "numpy", "river", "scikit-learn", "scipy")

T = TypeVar("T")


@cache
def fingerprint(code: Sequence[str]) -> str:
    """A hash of these files, of all source files and shipped arrays in these folders, and of the tools'
    versions."""
    digest = hashlib.sha256(repr([version(tool) for tool in TOOLS]).encode())
    for name in code:
        place = ROOT / name
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.suffix in (".py", ".npz"):
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


class Cache:
    """A folder of results; without one, nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: dict[str, object], code: Sequence[str], kind: type[T], make: Callable[[], T]) -> T:
        """The result of `make`, a value that msgspec can write, from the folder if it is there."""
        if self.folder is None:
            return make()
        text = msgspec.json.encode({**key, "code": fingerprint(code)}, order="deterministic")
        path = self.folder / f"{hashlib.sha256(text).hexdigest()[:32]}.msgpack"
        if path.is_file():
            return msgspec.msgpack.decode(path.read_bytes(), type=kind)
        made = make()
        # Renamed when it is whole: an interrupted run leaves no half of a result.
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(msgspec.msgpack.encode(made))
        part.rename(path)
        return made


class Stored(msgspec.Struct):
    """A recording as plain values: float64 arrays as bytes."""

    kind: str
    model_id: str
    digits: int
    columns: int
    classes: int
    inputs: bytes
    answers: bytes
    calls: tuple[int, ...]
    natural: bool

    @classmethod
    def of(cls, recording: Recording) -> Stored:
        """To be stored; every query of it is the attack's own."""
        return cls(
            recording.kind,
            recording.model_id,
            recording.digits,
            recording.inputs.shape[1],
            recording.answers.shape[1],
            recording.inputs.astype("<f8").tobytes(),
            recording.answers.astype("<f8").tobytes(),
            recording.calls,
            recording.natural,
        )

    def recording(self) -> Recording:
        """As it was."""
        inputs = np.frombuffer(self.inputs, "<f8").reshape(-1, self.columns)
        answers = np.frombuffer(self.answers, "<f8").reshape(-1, self.classes)
        own = np.ones(len(inputs), dtype=np.bool_)
        return Recording(
            self.kind, self.model_id, self.digits, inputs, answers, self.calls, own, self.natural
        )
