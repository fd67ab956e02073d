"""The short form of the fuzzing: every broken record is told with its reason, every good one processed."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from benchmarks.faults.broken import BREAKS
from benchmarks.faults.fuzz import fuzz
from detector.cli import app
from detector.query import REASONS
from tests import traffic


def test_every_broken_record_is_told_and_every_good_one_processed(tmp_path: Path) -> None:
    log = traffic.write(tmp_path / "history.ndjson", traffic.benign(300, seed=1))
    profile = tmp_path / "toy.qwp"
    assert CliRunner().invoke(app, ["fit", str(log), "--profile", str(profile)]).exit_code == 0
    account = fuzz(profile, 20_000, seed=2)
    assert account.well, "\n".join(account.lines())


def test_every_reason_that_a_single_record_can_give_is_broken_for() -> None:
    others = {"too_many_models", "truncated", "rejected_by_sink", "sink_down"}
    assert {reason for reason, _ in BREAKS} == REASONS.keys() - others
