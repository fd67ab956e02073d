"""Fixtures of the program's tests: the command in this process, and a profile fitted once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from detector import backoff, shard_state
from detector.cli import app
from tests import traffic
from tests.detector.world import MemoryTopic, World

Querywatch = Callable[..., Result]


@pytest.fixture(autouse=True)
def logs_restored() -> Iterator[None]:
    """`run` in this process configures the logs of all."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def querywatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Querywatch:
    """`querywatch("replay", log, ...)` runs the command in `tmp_path` and returns its result."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object, stdin: bytes = b"") -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture(scope="session")
def toy_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of the model `toy`, fitted on 300 benign sessions."""
    folder = tmp_path_factory.mktemp("profile")
    log = traffic.write(folder / "history.ndjson", traffic.benign(300, seed=1))
    profile = folder / "toy.qwp"
    result = CliRunner().invoke(app, ["fit", str(log), "--profile", str(profile)])
    assert result.exit_code == 0, result.output
    return profile


@pytest.fixture
def toy_log(tmp_path: Path) -> Path:
    """60 benign sessions and one inversion, 1161 queries in all."""
    queries = traffic.mixed(traffic.benign(60, seed=2), traffic.inversion(seed=3))
    return traffic.write(tmp_path / "log.ndjson", queries)


@pytest.fixture
def world(tmp_path: Path, toy_profile: Path) -> World:
    """Two partitions with an attack in each, and a record that is none."""
    first = traffic.lines(traffic.mixed(traffic.benign(20, seed=2), traffic.inversion(seed=3)))
    second = traffic.lines(traffic.mixed(traffic.benign(20, seed=4), traffic.inversion(seed=5)))
    second.insert(50, b"not json")
    second.append(b"")
    return World(tmp_path, toy_profile, MemoryTopic(first, second))


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.001)


@pytest.fixture(params=["whole", "in pieces"])
def saved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small states are saved whole; here also as large ones are."""
    if request.param == "in pieces":
        monkeypatch.setattr(shard_state, "SMALL", 0)
