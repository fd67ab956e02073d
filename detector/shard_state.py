"""A shard's whole state as bytes and back: what is saved together with the offset it stands at.

The same state gives the same bytes. A profile that is handed in frozen judges from then on, also when the
state was made under another one; open sessions are then measured anew, in its units. When learning goes on,
what was learned since is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector import changes as pieces_of
from detector.changes import Changes
from detector.clients import PER_SESSION, readable
from detector.container import Damaged, pack, unpack
from detector.errors import OtherVersion, ProfileError, StateError
from detector.features import inputs as units
from detector.features.catalogue import NAMES
from detector.grouping import Groups
from detector.input_sample import KEPT_NUMBERS, InputSample
from detector.learner import Learner
from detector.model_state import ModelState
from detector.pipeline import Shard
from detector.policy import KIND_NAMES
from detector.profile import ModelProfile, restore_profile
from detector.router import OddLength
from detector.sessions import SessionTable
from detector.settings import Settings
from models.base import Arrays, under

FORMAT = 14
"""Those before hold other features: what was measured of open sessions cannot be gone on with."""
SMALL = 16 * 2**20
"""Fewer bytes of sessions, clients and campaigns are all saved each time, in the state itself."""
VERSION = f"{FORMAT}-{hashlib.sha256(json.dumps(NAMES).encode()).hexdigest()[:8]}"
"""Names what a release must agree on to read a state: its format, and the features it holds."""


def dump(shard: Shard) -> bytes:
    """The state of `shard`, complete: restored, it goes on as if it had never stopped."""
    return packed(*_describe(shard))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a shard's state while the shard goes on. `changes` are rows that were written to since the
    last snapshot that had any; without them, the state is complete by itself."""

    next_offset: int
    meta: dict[str, Any]
    arrays: Arrays
    changes: Changes

    def packed(self) -> bytes:
        """The state without its changes, as bytes."""
        return packed(self.meta, self.arrays)


def snapshot(shard: Shard) -> Snapshot:
    """The state as it is now."""
    meta, arrays = _describe(shard)
    flags = _flags(shard)
    changes: Changes = {}
    if sum(arrays[name].nbytes for name in flags) >= SMALL:
        changes = {name: pieces_of.take(arrays.pop(name), own) for name, own in flags.items()}
    else:
        save_all_next(shard)
    copies = {name: array.copy() for name, array in arrays.items()}
    return Snapshot(shard.next_offset, meta, copies, changes)


def save_all_next(shard: Shard) -> None:
    """What was saved of the shard cannot be added to: the next changes are to be all there is."""
    for flags in _flags(shard).values():
        flags[:] = 1


def put_back(shard: Shard, changes: Changes) -> None:
    """These changes could not be saved: they are to be in the next snapshot too."""
    flags = _flags(shard)
    for name, change in changes.items():
        if name in flags:
            flags[name][change.numbers] = 1


def _flags(shard: Shard) -> dict[str, npt.NDArray[np.uint8]]:
    """By the name of an array in the state: which of its rows were written to since they were saved."""
    return {
        f"{_prefix(state.model_id, state.number)}{kind}/entities/{name}": flags
        for state in shard.models.values()
        for kind, entities in zip(KIND_NAMES, state.entities, strict=True)
        for name, flags in entities.changed.items()
    }


def _prefix(model: str, number: int) -> str:
    """What the names of a model's arrays begin with; its own name may hold anything."""
    return f"{hashlib.sha256(model.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}-{number}/"


def packed(meta: dict[str, Any], arrays: Arrays) -> bytes:
    """A state as bytes."""
    models = [{**model, "clients": readable(model["clients"])} for model in meta["models"]]
    return pack({**meta, "models": models}, arrays, compressed=False)


def _describe(shard: Shard) -> tuple[dict[str, Any], Arrays]:
    """The state of a shard: values of its own, and views of its arrays."""
    arrays: Arrays = {}
    models = []
    for name, state in sorted(shard.models.items()):
        meta, own = _dump_model(state)
        models.append({"name": name, "number": state.number, **meta})
        prefix = _prefix(name, state.number)
        arrays |= {prefix + key: value for key, value in own.items()}
    meta = {
        "kind": "state",
        "format": FORMAT,
        "features": list(NAMES),
        "source": shard.source,
        "partition": shard.partition,
        "next_offset": shard.next_offset,
        "lengths": dict(shard.lengths),
        "matching": dict(shard.matching),
        "divisions": shard.divisions,
        "groups": shard.groups.state(),
        "made": dict(shard.made),
        "memory": dict(shard.shares.given),
        "odd": [
            [name, d, sorted(odd.clients), odd.queries, odd.began] for (name, d), odd in shard.odd.items()
        ],
        "models": models,
    }
    return meta, arrays


def restore(
    data: bytes,
    settings: Settings,
    profiles: Mapping[str, ModelProfile],
    pieces: Iterable[bytes] = (),
) -> Shard:
    """The shard that `dump` wrote, or a snapshot, with all pieces that its changes were made into.

    Raises StateError for damaged bytes, OtherVersion for another's state.
    """
    try:
        meta, arrays = unpack(data)
        changed = pieces_of.joined(pieces) or {}
    except Damaged as error:
        raise StateError(str(error)) from error
    if meta.get("kind") != "state" or meta.get("format") != FORMAT or meta.get("features") != list(NAMES):
        raise OtherVersion(
            "the state was written by another version of querywatch, with other features or another layout; "
            "start that release again to go on without a gap"
        )
    shard = Shard(settings, profiles, meta["source"], meta["partition"])
    shard.next_offset = meta["next_offset"]
    shard.lengths = dict(meta["lengths"])
    shard.matching = dict(meta["matching"])
    shard.groups = Groups.from_state(meta["groups"], settings.tenant)
    shard.divisions, shard.shares.given = meta["divisions"], dict(meta["memory"])
    shard.odd = {
        (name, d): OddLength(set(clients), queries, began) for name, d, clients, queries, began in meta["odd"]
    }
    shard.made = dict(meta["made"])
    for model in meta["models"]:
        name, number = model["name"], model["number"]
        prefix = _prefix(name, number)
        own = under(arrays, prefix) | under(changed, prefix)
        state = _restore_model(model, own, settings, profiles, shard.shares.given[name])
        state.number = number
        shard.models[name] = state
    if not changed:
        save_all_next(shard)
    return shard


def canonical_digest(data: bytes) -> str:
    """SHA-256 of what a state says, however it was packed: equal digests mean equal states.

    Hashed are the JSON of everything that is no array, keys sorted, then each array by name: name, type,
    shape and its bytes in row order. Raises StateError.
    """
    try:
        meta, arrays = unpack(data)
    except Damaged as error:
        raise StateError(str(error)) from error
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True, separators=(",", ":")).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _dump_model(state: ModelState) -> tuple[dict[str, Any], Arrays]:
    arrays: Arrays = {}
    used = (
        state.sessions.used,
        state.clients.slots.capacity,
        state.campaigns.slots,
        state.odd.slots.capacity,
    )
    for kind, entities, slots in zip(KIND_NAMES, state.entities, used, strict=True):
        arrays |= {f"{kind}/entities/{k}": v for k, v in entities.state(slots).items()}
    meta: dict[str, Any] = {"d": state.d}
    meta["sessions"], own = state.sessions.state()
    arrays |= {f"sessions/{k}": v for k, v in own.items()}
    meta["clients"], own = state.clients.state()
    arrays |= {f"clients/{k}": v for k, v in own.items()}
    arrays |= {f"links/{k}": v for k, v in state.campaigns.state(state.clients.used).items()}
    arrays |= {f"odd/slots/{k}": v for k, v in state.odd.state(state.sessions.used).items()}
    if state.profile is not None:
        meta["profile"] = state.profile.version
        arrays |= {f"profile/{k}": v for k, v in state.profile.arrays().items()}
    else:
        arrays |= {f"inputs/{k}": v for k, v in units.to_arrays(state.inputs).items()}
    if state.sample is not None:
        meta["sampled"] = state.sample.seen
        arrays["sample"], arrays["sample_owners"] = state.sample.rows, state.sample.owners
    if state.learner is not None:
        meta["learner"], own = state.learner.state()
        arrays |= {f"learner/{k}": v for k, v in own.items()}
    if state.past is not None:
        arrays |= {f"past/{k}": v for k, v in state.past.state().items()}
    if state.beginning is not None:
        arrays |= {f"beginning/{k}": v for k, v in state.beginning.state().items()}
    if state.sent is not None:
        meta["sent"] = state.sent.state()
    return meta, arrays


def _restore_model(
    meta: dict[str, Any],
    arrays: Arrays,
    settings: Settings,
    profiles: Mapping[str, ModelProfile],
    memory: int,
) -> ModelState:
    given = profiles.get(meta["name"])
    if given is not None and given.input_length != meta["d"]:
        given = None
    if given is not None and (not settings.learn or given.version == meta.get("profile")):
        profile: ModelProfile | None = given
    else:
        profile = _learned(under(arrays, "profile/")) if "profile" in meta else None
    state = ModelState(meta["name"], meta["d"], settings, profile, memory)
    state.sessions = SessionTable.from_state(
        meta["sessions"], under(arrays, "sessions/"), state.sessions.bound
    )
    state.clients.rebound(PER_SESSION * state.sessions.bound, state.clients.slots.bound)
    state.clients.load(meta["clients"], under(arrays, "clients/"))
    state.campaigns.load(under(arrays, "links/"))
    state.odd.load(under(arrays, "odd/slots/"))
    for kind, entities in zip(KIND_NAMES, state.entities, strict=True):
        entities.load(under(arrays, f"{kind}/entities/"))
    if profile is None:
        state.inputs = units.from_arrays(under(arrays, "inputs/"))
    elif profile.version != meta.get("profile"):
        state.use_units(profile.inputs)
    if not settings.learn or "learner" not in meta:
        # Made while nothing was learned: if that is to change, learning begins with the units.
        return state
    state.sample = None
    if "sampled" in meta:
        state.sample = InputSample(meta["d"], KEPT_NUMBERS)
        state.sample.rows, state.sample.seen = np.array(arrays["sample"], dtype=np.float64), meta["sampled"]
        state.sample.owners = np.array(arrays["sample_owners"], dtype=np.int64)
    state.learner = Learner.from_state(meta["learner"], under(arrays, "learner/"))
    if state.past is not None:
        state.past.load(under(arrays, "past/"))
    if state.sent is not None:
        state.sent.load(meta.get("sent", []))
    begun = under(arrays, "beginning/")
    if state.beginning is not None and begun:
        state.beginning.load(begun)
    else:
        state.beginning = None
    return state


def _learned(arrays: Arrays) -> ModelProfile:
    try:
        return restore_profile(arrays)
    except ProfileError as error:
        raise OtherVersion(f"the profile in the state was learned by another version: {error}") from error
