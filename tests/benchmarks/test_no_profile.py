"""One pass without a profile: what it holds, and what its table says."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from benchmarks.detection.cache import Cache
from benchmarks.detection.judge import FalseAlert, Found, Outcome
from benchmarks.detection.no_profile import Unprofiled, past_share, table
from benchmarks.detection.run import Deployed
from benchmarks.detection.workload import Plan
from benchmarks.traces.schedule import DAY
from benchmarks.traces.variants import PLAIN

PLAN = Plan(5, ("cancer",), 1500, 200, ("random_extraction", "hop_skip_jump"), (150,))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return Deployed(PLAN, Cache(tmp_path_factory.mktemp("cache")))


def test_all_sessions_are_in_one_pass_and_an_attack_after_a_clean_start_is_found(deployed: Deployed) -> None:
    clean = deployed.unprofiled(clean=True)
    assert sum(clean.outcome.benign.values()) == 1700
    assert [one.kind for one in clean.outcome.attacks] == list(PLAN.attacks)
    assert any(one.after is not None for one in clean.outcome.attacks)
    assert 0.5 < min(clean.begun) < 1.0
    assert 0.0 < clean.attack_share < 0.1
    (model,) = deployed.workload.deployment.targets
    # Until then the prior judges.
    assert 0.05 < clean.first_profile[model.model_id] < 0.5


def test_attacks_may_begin_in_the_history(deployed: Deployed) -> None:
    work = deployed.workload
    dealt = work.attacks("no profile", PLAIN, work.recordings * 20, work.whole_period)
    begun = np.array([sessions[0].times[0] for sessions in dealt])
    share = (begun - work.whole_period.first_day) / (work.whole_period.days * DAY)
    assert 0.0 <= share.min() < 0.3
    assert 0.7 < share.max() < 1.0


def test_the_share_that_is_past_counts_one_models_queries(deployed: Deployed) -> None:
    benign = deployed.workload.traffic[0]
    model, times = benign[0].model_id, sorted(t for s in benign for t in s.times)
    assert past_share(benign, model, times[0]) == 0.0
    assert past_share(benign, model, times[-1] + 1) == 1.0
    other = [replace(benign[0], model_id="another-1"), *benign]
    assert past_share(other, model, times[len(times) // 2]) == pytest.approx(0.5, abs=0.01)


def one_pass(begun: list[float], after: list[int | None], wrong: int) -> Unprofiled:
    attacks = [Found("nes", "evasion", "m-1", 1, 100, after=each) for each in after]
    false = [FalseAlert("session", str(i), "m-1", ("drift",), 50) for i in range(wrong)]
    return Unprofiled(Outcome(attacks, false, {"drift": 40}, 9), begun, {"m-1": 0.25}, 0.08)


def test_the_table_tells_early_attacks_from_late_ones() -> None:
    mixed = one_pass([0.05, 0.3, 0.7, 0.9], [None, None, None, 60], 1)
    clean = one_pass([0.8, 0.9, 0.9, 0.95], [40, 40, 44, None], 0)
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(table([mixed, mixed], [clean], "no profile"))
    lines = [" ".join(line.replace("│", "").split()) for line in console.export_text().splitlines()]
    assert "0% to 10% of the log 0/2 0/2" in lines
    assert "10% to 50% of the log 0/2 0/2" in lines
    assert "50% to 100% of the log 2/4 60 2/4 60" in lines
    assert "any time 2/8 60 2/8 60 2 of 80" in lines
    assert "a clean start 3/4 40 3/4 40 0 of 40" in lines
    assert (
        "First profiles after 25% to 25% of a model's queries; 8% of all queries were an attack's." in lines
    )
