"""A shard's state as bytes: deterministic, complete, refused when damaged. See also test_pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from detector.container import pack, unpack
from detector.errors import StateError
from detector.input_sample import SAMPLE_QUERIES
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.query import Record
from detector.settings import Settings
from detector.shard_state import canonical_digest, dump, restore
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, in_batches, records, saved

LEARNING, PRIOR = Settings(prior=False), Settings()


def log(sessions: int = 150) -> list[Record]:
    return records(
        scenario.benign(sessions, seed=2),
        scenario.benign(20, seed=3, model="other"),
        traffic.inversion(seed=3, queries=150),
    )


@pytest.mark.parametrize("way", ["frozen", "learning", "online", "prior"])
@pytest.mark.parametrize("stop", [0, 100, SAMPLE_QUERIES, 2500])
def test_restored_state_is_the_same_state(way: str, stop: int) -> None:
    settings = {"frozen": FROZEN, "prior": PRIOR}.get(way, LEARNING)
    profiles: Mapping[str, ModelProfile] = {} if way in ("online", "prior") else scenario.profiles("toy")
    shard = Shard(settings, profiles, "topic", 4)
    shard.process(log()[:stop])
    data = dump(shard)
    assert dump(shard) == data
    copy = restore(data, settings, profiles)
    assert dump(copy) == data
    assert (copy.source, copy.partition, copy.next_offset) == ("topic", 4, shard.next_offset)


@pytest.mark.parametrize("way", ["frozen", "learning", "online"])
def test_state_does_not_depend_on_batches(way: str) -> None:
    settings = FROZEN if way == "frozen" else LEARNING
    profiles: Mapping[str, ModelProfile] = {} if way == "online" else scenario.profiles("toy")
    whole, cut = Shard(settings, profiles), Shard(settings, profiles)
    whole.process(log())
    in_batches(cut, log(), 101)
    assert dump(cut) == dump(whole)


def test_the_canonical_digest_tells_states_apart_and_not_how_they_were_packed() -> None:
    shard = Shard(FROZEN, scenario.profiles("toy"))
    shard.process(log()[:300])
    data = dump(shard)
    meta, arrays = unpack(data)
    turned = {name: np.asfortranarray(arrays[name]) for name in reversed(arrays)}
    assert canonical_digest(pack(dict(reversed(meta.items())), turned)) == canonical_digest(data)
    digests = {canonical_digest(data)}
    shard.process(log()[300:301])
    digests.add(canonical_digest(dump(shard)))
    digests.add(canonical_digest(pack(meta | {"partition": 5}, arrays)))
    digests.add(canonical_digest(pack(meta, {f"{name}x": array for name, array in arrays.items()})))
    assert len(digests) == 4
    with pytest.raises(StateError, match="truncated"):
        canonical_digest(data[:-1])


def test_a_restored_shard_repeats_nothing() -> None:
    profiles = scenario.profiles("toy")
    shard = Shard(FROZEN, profiles)
    shard.process(log())
    outcome = saved(shard, FROZEN, profiles).process(log())
    assert (outcome.queries, outcome.alerts, outcome.repeated) == (0, [], len(log()))


def test_what_is_restored_can_be_changed() -> None:
    """Arrays read from bytes are copies of their own, which the kernels may write to."""
    profiles = scenario.profiles("toy")
    shard = Shard(LEARNING, profiles)
    shard.process(log()[:2000])
    data = dump(shard)
    for _ in range(2):
        copy = restore(data, LEARNING, profiles)
        copy.process(log()[2000:])
        assert copy.next_offset == len(log())
    assert dump(shard) == data


def test_damaged_and_foreign_states_are_refused() -> None:
    shard = Shard(FROZEN, scenario.profiles("toy"))
    shard.process(log()[:300])
    data = dump(shard)
    for bad, text in (
        (b"", "not a querywatch file"),
        (data[:-1], "truncated or was changed"),
        (data[:-20] + bytes([data[-20] ^ 1]) + data[-19:], "truncated or was changed"),
    ):
        with pytest.raises(StateError, match=text):
            restore(bad, FROZEN, {})
    meta, arrays = unpack(data)
    changes: list[dict[str, Any]] = [{"kind": "profile"}, {"format": 6}, {"features": []}]
    for change in changes:
        with pytest.raises(StateError, match="another version"):
            restore(pack(meta | change, arrays), FROZEN, {})


def test_learned_profiles_are_stored_and_given_ones_are_recognised() -> None:
    profiles = scenario.profiles("toy")
    given = Shard(LEARNING, profiles)
    given.process(log()[:500])
    assert saved(given, LEARNING, profiles).models["toy"].profile is profiles["toy"]
    online = Shard(LEARNING, {})
    online.process(records(scenario.benign(700, seed=4)))
    learned = online.models["toy"].profile
    assert learned is not None
    restored = saved(online, LEARNING, {}).models["toy"].profile
    assert restored is not None
    assert restored.version == learned.version
