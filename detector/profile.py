"""A profile: what the normal traffic of each model looks like, learned from history, and what judges by it.

Immutable once made. Learning builds a new one with the next sequence number; its version names that
number and its content, and every alert says which version judged it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.container import Arrays, Damaged, pack, unpack
from detector.errors import ProfileError
from detector.evidence import SessionTail, session_maxima
from detector.features.catalogue import FAMILIES, NAMES, SIDES
from detector.features.inputs import Inputs, from_arrays, to_arrays
from detector.query import FloatArray, IntArray
from models.ensemble import Ensemble
from models.recogniser import shipped

FORMAT = 1
MINIMUM_SESSIONS = 100
"""Judged benign sessions below which a tail of session maxima means nothing."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What judges the queries of one model: input units, anomaly ensemble, tail of session maxima."""

    sequence: int
    inputs: Inputs
    ensemble: Ensemble
    tail: SessionTail
    version: str

    @property
    def input_length(self) -> int:
        """Numbers in one input."""
        return len(self.inputs.location)

    def arrays(self) -> Arrays:
        """Everything as named arrays."""
        out: Arrays = {f"inputs/{k}": v for k, v in to_arrays(self.inputs).items()}
        out |= {f"ensemble/{k}": v for k, v in self.ensemble.to_arrays().items()}
        out["tail"] = self.tail.to_array()
        out["sequence"] = np.array([self.sequence])
        return out


def _versioned(sequence: int, inputs: Inputs, ensemble: Ensemble, tail: SessionTail) -> ModelProfile:
    unnamed = ModelProfile(sequence, inputs, ensemble, tail, "")
    digest = hashlib.sha256()
    for name, array in sorted(unnamed.arrays().items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return ModelProfile(sequence, inputs, ensemble, tail, f"{sequence}-{digest.hexdigest()[:12]}")


def build(
    sequence: int, inputs: Inputs, features: FloatArray, sessions: IntArray, total_sessions: int
) -> ModelProfile | None:
    """Learn from evaluation points of benign traffic, in time order; None when they are too few.

    features [n, f]; sessions [n] says which session each row belongs to; total_sessions also counts
    those that were too short to be evaluated.
    """
    if len(np.unique(sessions)) < MINIMUM_SESSIONS:
        return None
    ensemble = Ensemble(SIDES, FAMILIES, shipped())
    scores = ensemble.fit(features, sessions)
    if np.isnan(scores).all():
        return None
    maxima = session_maxima(scores, sessions)
    tail = SessionTail.fit(maxima, max(total_sessions, len(maxima)))
    return _versioned(sequence, inputs, ensemble, tail)


def restore_profile(arrays: Arrays) -> ModelProfile:
    """The inverse of `ModelProfile.arrays`."""

    def under(prefix: str) -> Arrays:
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    ensemble = Ensemble(SIDES, FAMILIES, shipped())
    try:
        ensemble.load_arrays(under("ensemble/"))
    except ValueError as error:
        raise ProfileError(f"{error}; make it again with `querywatch fit`") from error
    sequence = int(np.asarray(arrays["sequence"], dtype=np.int64)[0])
    return _versioned(sequence, from_arrays(under("inputs/")), ensemble, SessionTail.from_arrays(arrays))


def to_bytes(profiles: Mapping[str, ModelProfile]) -> bytes:
    """Profiles by model id, as bytes for a file."""
    names = sorted(profiles)
    arrays: Arrays = {}
    for i, name in enumerate(names):
        arrays |= {f"{i}/{k}": v for k, v in profiles[name].arrays().items()}
    return pack({"kind": "profile", "format": FORMAT, "models": names, "features": list(NAMES)}, arrays)


def from_bytes(data: bytes) -> dict[str, ModelProfile]:
    """The inverse of `to_bytes`. Raises ProfileError for anything else."""
    try:
        meta, arrays = unpack(data)
    except Damaged as error:
        raise ProfileError(f"{error}; make it again with `querywatch fit`") from error
    if meta.get("kind") != "profile" or meta.get("format") != FORMAT or meta.get("features") != list(NAMES):
        raise ProfileError("written by another version of querywatch; make it again with `querywatch fit`")
    return {
        name: restore_profile({k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{i}/")})
        for i, name in enumerate(meta["models"])
    }


def save(path: Path, profiles: Mapping[str, ModelProfile]) -> None:
    """Write a profile file, whole or not at all. Raises ProfileError when the disk refuses."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(to_bytes(profiles))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ProfileError(f"cannot write the profile {path}: {error}") from error


def load(path: Path) -> dict[str, ModelProfile]:
    """Read a profile file. Raises ProfileError naming it."""
    try:
        return from_bytes(path.read_bytes())
    except OSError as error:
        raise ProfileError(f"cannot read the profile {path}: {error}") from error
    except ProfileError as error:
        raise ProfileError(f"profile {path}: {error}") from error
