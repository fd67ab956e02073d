"""A profile: what the normal traffic of each model looks like, learned from history, and what judges by it.

Immutable once made. Learning builds a new one with the next sequence number; its version names that
number and its content, and every alert says which version judged it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from detector.container import Damaged, pack, unpack
from detector.contamination import groups_of, thinned, without_attacks
from detector.errors import ProfileError
from detector.evidence import SessionTail, thresholds_by_age
from detector.features.catalogue import FAMILIES, NAMES, SIDES
from detector.features.inputs import Inputs, from_arrays, of_texts, to_arrays
from detector.habits import NOBODY, Known, allowances, follow
from detector.keys import Keys
from detector.links import FIRST_DISTANCE
from detector.policy import AGED, BUDGET_SHARES, KINDS, ODD, OTHERS, SESSION
from detector.query import FloatArray, IntArray
from detector.rows import NO_ROWS, Rows
from detector.tails import Scored, tails_of
from models.base import Arrays, under
from models.ensemble import Ensemble, Past
from models.recogniser import shipped

FORMAT = 11
MINIMUM_SESSIONS = 100
"""Judged benign sessions below which a tail of session maxima means nothing."""


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """What judges the queries of one model: input units, distance that links the odd queries of different
    clients, anomaly ensemble, and for each kind of entity the tail of its maxima (a chance per session,
    whatever the kind); those of the kinds `AGED` are of their first evaluation points, and those in `late`
    of the later ones (`detector.evidence`). `odd_level` is by how much odd queries alone score higher than
    all queries of a session usually do. `suspects` counts the sessions of the history that look like
    attacks and taught nothing. `habits` are those of its regular clients."""

    sequence: int
    inputs: Inputs
    near: float
    ensemble: Ensemble
    tails: tuple[SessionTail, ...]
    late: tuple[SessionTail, ...]
    odd_level: float
    suspects: int
    version: str
    habits: Known = NOBODY

    @property
    def tail(self) -> SessionTail:
        """That of the sessions."""
        return self.tails[SESSION]

    def tail_of(self, kind: int, late: bool) -> SessionTail:
        """The tail of the entities of that kind, while they are short or once they are long."""
        return self.late[AGED.index(kind)] if late and kind in AGED else self.tails[kind]

    def scores(self, kind: IntArray, features: FloatArray, so_far: IntArray) -> FloatArray:
        """Scores [m] of evaluation points of entities of these kinds [m]: features [m, f]; so_far [m]: the
        how many-th of its entity each one is, from 1."""
        scores = self.ensemble.score(features, so_far)
        scores[kind == ODD] -= self.odd_level
        return scores

    def thresholds(self, budget: float) -> FloatArray:
        """Evidence that raises an alert on entities of each kind while they are short and once they are
        long [KINDS, 2]: each kind spends its share of `budget` false alerts per 10,000 sessions."""
        bars = np.empty((KINDS, 2))
        for kind, share in enumerate(BUDGET_SHARES):
            bars[kind] = self.tails[kind].threshold(share * budget)
        for kind, late in zip(AGED, self.late, strict=True):
            bars[kind] = thresholds_by_age(self.tails[kind], late, BUDGET_SHARES[kind] * budget)
        return bars

    @property
    def input_length(self) -> int:
        """Numbers in one input."""
        return len(self.inputs.location)

    def arrays(self) -> Arrays:
        """Everything as named arrays."""
        out: Arrays = {f"inputs/{k}": v for k, v in to_arrays(self.inputs).items()}
        out |= {f"ensemble/{k}": v for k, v in self.ensemble.to_arrays().items()}
        out["tails"] = np.stack([tail.to_array() for tail in (*self.tails, *self.late)])
        out["odd_level"] = np.array([self.odd_level])
        out["near"] = np.array([self.near])
        out["sequence"] = np.array([self.sequence])
        out["suspects"] = np.array([self.suspects])
        out |= {f"habits/{k}": v for k, v in self.habits.to_arrays().items()}
        return out


def _versioned(
    sequence: int,
    inputs: Inputs,
    near: float,
    ensemble: Ensemble,
    tails: tuple[SessionTail, ...],
    late: tuple[SessionTail, ...],
    odd_level: float,
    suspects: int,
    habits: Known,
) -> ModelProfile:
    unnamed = ModelProfile(sequence, inputs, near, ensemble, tails, late, odd_level, suspects, "", habits)
    digest = hashlib.sha256()
    for name, array in sorted(unnamed.arrays().items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return replace(unnamed, version=f"{sequence}-{digest.hexdigest()[:12]}")


def build(
    sequence: int,
    inputs: Inputs,
    sessions: Rows,
    total_sessions: int,
    others: tuple[Rows, ...] = (NO_ROWS,) * len(OTHERS),
    near: float = FIRST_DISTANCE,
    keys_of: Callable[[IntArray], tuple[IntArray, Keys]] | None = None,
    known: Known = NOBODY,
) -> ModelProfile | None:
    """Learn from evaluation points of traffic that is benign but for a few attacks, which are left out
    (`detector.contamination`); None when those of the sessions are too few.

    total_sessions also counts those that were too short to be evaluated. `others` are those of the kinds
    `OTHERS`, which teach nothing but their tails: their queries are the sessions'. `near` links. With
    `keys_of` (as of `detector.clients.ClientTable`) the profile keeps the habits that the clients have here;
    without it those that are `known`, as whoever judges follows its clients itself.
    """
    recogniser = shipped(of_texts(inputs))
    ensemble = Ensemble(SIDES, FAMILIES, recogniser)
    sessions, others, suspects = without_attacks(sessions, others, recogniser)
    if len(np.unique(sessions.entities)) < MINIMUM_SESSIONS:
        return None
    past, *other_pasts = (
        Past(rows.features, rows.points, groups)
        for rows, groups in zip((sessions, *others), groups_of(sessions, *others), strict=True)
    )
    scores, other_scores = ensemble.fit_and_score(past, thinned(sessions.entities), other_pasts)
    if np.isnan(scores).all():
        return None
    allowed, habits, owners = follow(scores, sessions.entities, sessions.owners)
    if keys_of is not None:
        rows, keys = keys_of(owners)
        known = Known.of(keys, habits.take(rows))
    # What a client had in the end stands for what it will have: that is what it is judged with.
    of_client = dict(zip(owners.tolist(), allowances(habits).tolist(), strict=True))
    other_scores[0] -= np.array([of_client.get(owner, 0.0) for owner in others[0].owners.tolist()])
    tails = tails_of(
        Scored(scores - allowed, sessions.entities, sessions.points),
        tuple(
            Scored(part, rows.entities, rows.points) for part, rows in zip(other_scores, others, strict=True)
        ),
        total_sessions - suspects,
    )
    return _versioned(sequence, inputs, near, ensemble, *tails, suspects, known)


def restore_profile(arrays: Arrays) -> ModelProfile:
    """The inverse of `ModelProfile.arrays`."""
    inputs = from_arrays(under(arrays, "inputs/"))
    ensemble = Ensemble(SIDES, FAMILIES, shipped(of_texts(inputs)))
    try:
        ensemble.load_arrays(under(arrays, "ensemble/"))
    except ValueError as error:
        raise ProfileError(f"{error}; make it again with `querywatch fit`") from error
    sequence = int(np.asarray(arrays["sequence"], dtype=np.int64)[0])
    tails = tuple(SessionTail.from_array(row) for row in np.asarray(arrays["tails"], dtype=np.float64))
    level = float(np.asarray(arrays["odd_level"], dtype=np.float64)[0])
    near = float(np.asarray(arrays["near"], dtype=np.float64)[0])
    suspects = int(np.asarray(arrays["suspects"], dtype=np.int64)[0])
    return _versioned(
        sequence,
        inputs,
        near,
        ensemble,
        tails[:KINDS],
        tails[KINDS:],
        level,
        suspects,
        Known.from_arrays(under(arrays, "habits/")),
    )


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
    return {name: restore_profile(under(arrays, f"{i}/")) for i, name in enumerate(meta["models"])}


def save(path: Path, profiles: Mapping[str, ModelProfile]) -> None:
    """Write a profile file, whole or not at all, for its owner only: who can read it can search unseen, and
    who can write it decides what is normal. Raises ProfileError when the disk refuses.
    """
    with _partial_of(path) as (partial, file):
        file.write(to_bytes(profiles))
        file.flush()
        os.fsync(file.fileno())
        partial.replace(path)


def refuse_unwritable(path: Path) -> None:
    """Before logs are read for hours: raises ProfileError where `save` could not make the file."""
    with _partial_of(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


@contextmanager
def _partial_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside `path`, gone afterwards unless it was renamed. Raises ProfileError."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield partial, file
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ProfileError(f"cannot write the profile {path}: {error.strerror or error}") from error


def load(path: Path) -> dict[str, ModelProfile]:
    """Read a profile file. Raises ProfileError naming it."""
    try:
        return from_bytes(path.read_bytes())
    except OSError as error:
        raise ProfileError(f"cannot read the profile {path}: {error.strerror or error}") from error
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from error
