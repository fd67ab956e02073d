"""Profiles as files: bit-equal after a round trip, refused when they are not whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from detector import profile
from detector.container import pack, unpack
from detector.errors import ProfileError
from detector.features.catalogue import NAMES
from detector.pipeline import Shard
from detector.rows import Rows
from models.recogniser import shipped
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import FROZEN, lines, records


def test_bytes_and_back_changes_no_bit() -> None:
    made = scenario.profiles("alpha", "beta")
    data = profile.to_bytes(made)
    read = profile.from_bytes(data)
    assert set(read) == {"alpha", "beta"}
    for name in made:
        assert read[name].version == made[name].version
        assert read[name].tails == made[name].tails
        assert read[name].input_length == traffic.D
        before, after = made[name].arrays(), read[name].arrays()
        assert set(before) == set(after)
        assert all(before[key].tobytes() == after[key].tobytes() for key in before)
    assert profile.to_bytes(read) == data


def test_a_read_profile_judges_the_same() -> None:
    made = scenario.profiles("toy")
    log = records(scenario.benign(30, seed=2), traffic.inversion(seed=3))
    expected = lines(Shard(FROZEN, made).process(log).alerts)
    assert (
        lines(Shard(FROZEN, profile.from_bytes(profile.to_bytes(made))).process(log).alerts) == expected != []
    )


def test_fitting_twice_gives_the_same_profile() -> None:
    again = scenario.fit(records(scenario.benign(250, seed=1)))
    assert profile.to_bytes(again) == profile.to_bytes(scenario.profiles("toy"))
    assert again["toy"].version.startswith("1-")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "p.qwp"
    path.write_bytes(b"an older one")
    profile.save(path, scenario.profiles("toy"))
    assert profile.load(path)["toy"].version == scenario.profiles("toy")["toy"].version
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_a_file_is_for_its_owner_only(umask: int, tmp_path: Path) -> None:
    path = tmp_path / "a.qwp"
    path.with_name("a.qwp.partial").touch(mode=0o644)  # left by a crash
    before = os.umask(umask)
    try:
        profile.save(path, scenario.profiles("alpha"))
    finally:
        os.umask(before)
    assert [stat.S_IMODE(made.stat().st_mode) for made in tmp_path.iterdir()] == [0o600]


def test_a_file_that_is_not_whole_says_so(tmp_path: Path) -> None:
    path = tmp_path / "p.qwp"
    data = profile.to_bytes(scenario.profiles("toy"))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ProfileError, match=rf"{path}.*truncated.*querywatch fit"):
        profile.load(path)
    path.write_bytes(data[:-9] + b"\0" + data[-8:])
    with pytest.raises(ProfileError, match="checksum does not match"):
        profile.load(path)
    path.write_bytes(b"timestamp,model\n")
    with pytest.raises(ProfileError, match="not a querywatch file"):
        profile.load(path)
    with pytest.raises(ProfileError, match=r"cannot read the profile .*missing: No such file or directory$"):
        profile.load(tmp_path / "missing")
    with pytest.raises(ProfileError, match="cannot write the profile"):
        profile.save(tmp_path / "no folder" / "p.qwp", {})


@pytest.mark.parametrize("change", [{"kind": "state"}, {"format": 1}, {"features": ["other"]}])
def test_another_version_is_refused(change: dict[str, object]) -> None:
    meta, arrays = unpack(profile.to_bytes(scenario.profiles("toy")))
    with pytest.raises(ProfileError, match=r"another version of querywatch.*querywatch fit"):
        profile.from_bytes(pack(meta | change, arrays))


def test_too_few_sessions_make_no_profile() -> None:
    inputs = scenario.profiles("toy")["toy"].inputs
    rows = np.random.default_rng(1).random((990, len(NAMES)))
    sessions, ordinals = np.repeat(np.arange(99), 10), np.tile(np.arange(1, 11), 99)
    assert profile.build(1, inputs, Rows(rows, sessions, sessions, ordinals), 99) is None
    first = np.ones(990, dtype=np.int64)
    assert profile.build(1, inputs, Rows(rows, np.arange(990), sessions, first), 990) is not None


def test_texts_are_judged_by_the_recogniser_that_was_taught_on_texts() -> None:
    """Words for numbers: what is sent is a text or not, all else is the same."""
    log = scenario.benign(250, seed=1)
    spoken = [
        query | {"model_id": "spoken", "input": " ".join(f"word{round(x * 3)}" for x in query["input"])}
        for query in log
    ]
    made = scenario.fit(records(log, spoken))
    assert made["toy"].ensemble.recogniser is shipped()
    assert made["spoken"].ensemble.recogniser is shipped(True)
    read = profile.from_bytes(profile.to_bytes(made))
    assert read["spoken"].ensemble.recogniser is shipped(True)
    assert read["toy"].ensemble.recogniser is shipped()
