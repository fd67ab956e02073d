"""`querywatch demo` on the sample: it finds each attack, raises nothing else, and shows it in 80 columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector import demo
from detector.plots import bar, log_scaled, sparkline, value_range
from tests.detector.conftest import Querywatch


def test_the_sample_is_explained_and_all_is_found(querywatch: Querywatch) -> None:
    result = querywatch("demo", "--output", "files")
    truth = json.loads((demo.EXAMPLES / "truth.json").read_bytes())["sessions"]
    attacks = sum(session["family"] != "benign" for session in truth)
    assert f"found {attacks} of {attacks} attack sessions" in result.stdout
    assert f"0 alerts on {len(truth) - attacks} benign sessions" in result.stdout
    assert result.exit_code == 0
    for heading in ("1. The traffic", "2. Learn what is normal", "4. What the SOC sees", "6. The files"):
        assert heading in result.stdout
    shown = result.stdout.split("4. What the SOC sees")[1]
    assert max(map(len, shown.split("6. The files")[0].splitlines())) <= 80
    assert {p.name for p in Path("files").iterdir()} >= {"profile.qwp", "alerts.ndjson", "alerts.sqlite"}


def test_without_the_sample_it_says_so(
    querywatch: Querywatch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo.run_demo, "__defaults__", (tmp_path,))
    result = querywatch("demo")
    assert result.exit_code == 2
    assert "history.ndjson.gz is missing" in result.stderr


def test_the_comparison_tells_missed_and_false(tmp_path: Path) -> None:
    def session(name: str, family: str) -> demo.TrueSession:
        return demo.TrueSession(name, "c-" + name, "m", "kind", family, 10)

    truth = demo.Truth([session("a", "evasion"), session("b", "evasion"), session("c", "benign")])
    alerts = [
        {"related": {"user": ["c-" + name]}, "querywatch": {"session": {"id": name}}} for name in ("a", "c")
    ]
    result = demo.compare(truth, alerts)
    assert [s.session_id for s in result.found] == ["a"]
    assert [s.session_id for s in result.missed] == ["b"]
    assert [s.session_id for s in result.false_alerts] == ["c"]


def test_plots() -> None:
    assert sparkline([0.0, None, 0.5, 1.0]) == "▁ ▅█"
    assert sparkline([2.0, 2.0]) == "▅▅"
    assert sparkline([None]) == ""
    assert value_range([None, 0.25, 3.0]) == "0.25 to 3"
    assert value_range([]) == "unknown"
    assert bar(0.5, 4) == "██"
    assert bar(0.25, 2) == "▌"
    assert bar(2.0, 3) == "███"
    assert log_scaled([0.0, None, 1.0, 100.0]) == [-1.0, None, 0.0, 2.0]
