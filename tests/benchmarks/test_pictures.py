"""What the pictures of attacks are drawn from, and that they are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.cache import Cache
from benchmarks.detection.looks import Look, nearest
from benchmarks.detection.pictures import draw, listing
from benchmarks.detection.run import Case, Deployed
from benchmarks.detection.workload import Plan
from benchmarks.traces import Variant
from detector.features.catalogue import NAMES

PLAN = Plan(5, ("cancer",), 700, 60, ("hop_skip_jump", "knockoff_held_out"), (40, 120))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(PLAN, Cache(tmp_path_factory.mktemp("cache")))


def test_distances_are_to_the_nearest_of_the_last_sixteen() -> None:
    line = np.arange(18.0)[:, None]
    line[17] = 0.5
    assert nearest(line, 2.0)[:3] == [None, 0.5, 0.5]
    assert nearest(line, 2.0)[17] == 0.25  # 1 is the oldest of the sixteen, 0 is forgotten
    assert nearest(np.array([[1.0], [3.0], [1.0]]), 1.0) == [None, 2.0, None]
    assert nearest(np.empty((0, 3)), 1.0) == []


def test_each_attack_is_looked_at_where_it_was_found(deployed: Deployed) -> None:
    looks = {look.kind: look for look in deployed.looks(Case("plain"))}
    assert set(looks) == set(PLAN.attacks)
    results = deployed.found(None, Case("plain"))
    for kind, look in looks.items():
        mine = [one for one in results if one.kind == kind]
        first = next((one for one in mine if one.after is not None), mine[0])
        assert len(look.confidence) == len(look.distance) == first.queries
        assert look.alert == (None if first.after_all is None else first.after_all - 1)
        assert set(look.features) <= set(NAMES)
        assert bool(look.features) == bool(look.technique) == (look.alert is not None)
        assert 0.5 <= min(look.confidence) <= max(look.confidence) <= 1.0
    assert looks["hop_skip_jump"].alert is not None
    assert np.median([d for d in looks["hop_skip_jump"].distance if d is not None]) < 0.5


def test_attacks_over_many_sessions_have_no_picture(deployed: Deployed) -> None:
    assert deployed.looks(Case("5 accounts", Variant(accounts=5))) == []


def test_pictures_are_the_same_twice(tmp_path: Path) -> None:
    found = Look("nes", "evasion", "m-1", [0.5, 0.9], [None, 0.1], 1, "evasion_search", ["step_length"])
    missed = Look("zoo", "evasion", "m-1", [0.5, 0.9], [None, None], None, "", [])
    paths = draw([found, missed], tmp_path / "a")
    again = draw([found, missed], tmp_path / "b")
    assert [path.name for path in paths] == ["nes.png", "zoo.png"]
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a" / "attacks.md").read_text() == listing([found, missed])
    assert "| evasion: nes | m-1 | 2 of 2 | evasion_search | step_length |" in listing([found, missed])
    assert "missed" in listing([missed])
