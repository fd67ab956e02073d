"""Attacks in the history: what is measured, and that they do not blind the detector."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.detection.cache import Cache
from benchmarks.detection.contaminated import Contaminated, table
from benchmarks.detection.judge import FalseAlert, Found, Outcome
from benchmarks.detection.run import Deployed
from benchmarks.detection.workload import Plan

PLAN = Plan(5, ("cancer",), 900, 150, ("hop_skip_jump", "boundary", "zoo", "line_search"), (150,))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(PLAN, Cache(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def dirty(deployed: Deployed) -> Contaminated:
    return deployed.contaminated(0.02)


def test_attacks_that_are_in_the_history_are_not_those_that_are_to_be_found(dirty: Contaminated) -> None:
    assert dirty.attacks == 18
    assert [one.kind for one in dirty.outcome.attacks] == ["hop_skip_jump", "zoo"]


def test_attacks_in_the_history_are_left_out_and_an_attack_is_still_found(
    deployed: Deployed, dirty: Contaminated
) -> None:
    clean = deployed.contaminated(0.0)
    assert clean.suspects <= 3  # of 900 honest sessions
    assert 6 <= dirty.suspects <= 18 + 3
    for measured in (clean, dirty):
        found = [one.kind for one in measured.outcome.attacks if one.after is not None]
        assert "hop_skip_jump" in found


def test_the_table_pools_deployments_and_leaves_out_what_no_log_shows() -> None:
    attacks = [
        Found("zoo", "evasion", "m-1", 1, 300, 40),
        Found("nes", "evasion", "m-1", 1, 300, None),
        Found("knockoff_held_out", "extraction", "m-1", 1, 300, 90),
    ]
    alert = FalseAlert("session", "s", "m-1", ("drift",), 30)
    one = Contaminated(0.01, Outcome(attacks, [alert], {"ordinary": 500, "drift": 500}, 10), 11, 9)
    text = io.StringIO()
    Console(file=text, width=200).print(table([one, one], "title"))
    (row,) = [line for line in text.getvalue().splitlines() if "2/4" in line]
    assert [cell.strip() for cell in row.strip("│ ").split("│")][:6] == [
        "1%",
        "22",
        "18",
        "2/4",
        "40",
        "2 of 2,000",
    ]
