"""Fitting from history: a profile for every model that has enough, and a reason for each that has not."""

from __future__ import annotations

import pytest

from detector import profile
from detector.fitting import Measuring, Sampling
from detector.query import Record
from detector.settings import Settings
from tests import traffic
from tests.detector import scenario
from tests.detector.scenario import records


def fit_in(log: list[Record], size: int) -> Measuring:
    sampling = Sampling()
    for begin in range(0, len(log), size):
        sampling.observe(log[begin : begin + size])
    measuring = Measuring(Settings(), sampling.units())
    for begin in range(0, len(log), size):
        measuring.observe(log[begin : begin + size])
    return measuring


@pytest.mark.parametrize("size", [7, 1000])
def test_batches_change_nothing(size: int) -> None:
    made, _ = fit_in(records(scenario.benign(250, seed=1)), size).profiles()
    assert profile.to_bytes(made) == profile.to_bytes(scenario.profiles("toy"))


def test_a_model_with_too_little_history_is_named() -> None:
    log = records(scenario.benign(250, seed=1), traffic.benign(30, seed=2, model="rare"))
    made, missing = fit_in(log, 1000).profiles()
    assert set(made) == {"toy"}
    assert set(missing) == {"rare"}
    assert "of its 30 sessions" in missing["rare"]
    assert "100 are needed" in missing["rare"]


def test_bad_rows_of_the_history_are_told_and_left_out() -> None:
    log = records(scenario.benign(250, seed=1))
    odd = Record(log[-1].timestamp, "toy", "c", [1.0], offset=len(log))
    sampling = Sampling()
    (letter,) = sampling.observe([*log, odd]).dead_letters
    assert (letter.reason, letter.offset) == ("input_length", len(log))
    measuring = Measuring(Settings(), sampling.units())
    outcome = measuring.observe([*log, odd])
    assert (len(outcome.dead_letters), outcome.queries, outcome.alerts) == (1, len(log), [])
    made, _ = measuring.profiles()
    assert made["toy"].version == scenario.profiles("toy")["toy"].version


def test_an_empty_history_makes_nothing() -> None:
    assert fit_in([], 10).profiles() == ({}, {})


def test_a_length_that_changes_in_the_history_is_learned_as_its_last_one() -> None:
    history = records(scenario.benign(250, seed=1))
    odd = [
        Record(history[-1].timestamp + n, "toy", f"c{n % 3}", [0.5] * 3, offset=history[-1].offset + 1 + n)
        for n in range(5000)
    ]
    sampling = Sampling()
    sampling.observe([*history, *odd])
    measuring = Measuring(Settings(), sampling.units())
    outcome = measuring.observe([*history, *odd])
    assert outcome.queries + len(outcome.dead_letters) == len(history) + len(odd)
    assert outcome.dead_letters
    measuring.profiles()
