"""Imports point one way, and the core looks at no clock, network, chance or environment.

The source is parsed, so imports inside functions and for type checking count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("detector", "models", "connectors")

EDGE = {
    "detector.__main__",
    "detector.backoff",
    "detector.cli",
    "detector.cli_topics",
    "detector.demo",
    "detector.episodes",
    "detector.destinations",
    "detector.edge",
    "detector.history",
    "detector.interrupt",
    "detector.live",
    "detector.vitals",
    "detector.outbox",
    "detector.monitor",
    "detector.metrics",
    "detector.health",
    "detector.dispatcher",
    "detector.logs",
    "detector.outputs",
    "detector.ownership",
    "detector.partition_source",
    "detector.plots",
    "detector.progress",
    "detector.reachability",
    "detector.rekey",
    "detector.reload",
    "detector.replay",
    "detector.resend",
    "detector.resume",
    "detector.saver",
    "detector.service",
    "detector.state_store",
    "detector.stopping",
    "detector.summary",
    "detector.terminal",
    "detector.workers",
}
"""Modules of `detector` that wire it to the outside world. A new one is named here or is core."""
CONTRACTS = {
    "detector.errors",
    "detector.query",
    "detector.slices",
    "detector.records",
    "detector.decoded",
    "detector.alert",
}
"""All that connectors know of the detector."""
BASE = CONTRACTS | {"detector.config", "detector.sessions", "detector.columns", "detector.container"}
"""Modules of `detector` that know nothing of the ones above them."""
UNDER_BASE = CONTRACTS | {
    "detector.config_section",
    "detector.directory",
    "detector.features.text",
    "detector.keys",
    "detector.pool",
    "detector.register",
    "detector.spans",
    "detector.substitution",
    "models.base",
    "models.compiled",
    "models.words",
}
WORLD = {
    "asyncio",
    "getpass",
    "http",
    "multiprocessing",
    "platform",
    "random",
    "secrets",
    "select",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib",
    "uuid",
}
"""Standard modules that the core never imports: clock, network, chance, processes."""
IMPURE = {
    "os.environ",
    "os.environb",
    "os.getenv",
    "os.getpid",
    "os.urandom",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "Path.home",
    "Path.cwd",
}
ALLOWED = {"models.compiled": {"Path.home"}}
"""Compiled kernels are cached in the home directory; that changes no result."""
UNSAFE = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of ours, by name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imported(name: str) -> Iterator[str]:
    """Modules that a module imports; `from package import module` gives the module."""
    for node in ast.walk(sources()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in sources() else node.module


def ours(name: str) -> set[str]:
    return {module for module in imported(name) if module.partition(".")[0] in PACKAGES}


def names(package: str) -> list[str]:
    return sorted(name for name in sources() if name.partition(".")[0] == package)


def core() -> list[str]:
    return sorted(set(names("detector")) - EDGE)


def test_the_edge_is_what_it_says() -> None:
    assert set(sources()) >= EDGE | BASE | UNDER_BASE


@pytest.mark.parametrize("name", names("models"))
def test_models_import_only_models(name: str) -> None:
    assert {module.partition(".")[0] for module in ours(name)} <= {"models"}


@pytest.mark.parametrize("name", names("connectors"))
def test_connectors_import_only_contracts_and_the_compiler(name: str) -> None:
    above = {module for module in ours(name) if not module.startswith("connectors")}
    assert above <= CONTRACTS | {"models.compiled", "models.words"}


@pytest.mark.parametrize("name", sorted(BASE))
def test_the_base_imports_nothing_above_it(name: str) -> None:
    assert ours(name) <= UNDER_BASE


@pytest.mark.parametrize("name", [name for name in names("detector") if name.startswith("detector.features")])
def test_features_import_only_features_queries_and_the_compiler(name: str) -> None:
    above = {module for module in ours(name) if not module.startswith("detector.features")}
    assert above <= {"models.ahead", "models.compiled", "models.lanes", "detector.pool", "detector.query"}


@pytest.mark.parametrize("name", core())
def test_the_core_imports_neither_connectors_nor_the_edge(name: str) -> None:
    assert not {module for module in ours(name) if module.startswith("connectors")}
    assert not ours(name) & EDGE


@pytest.mark.parametrize("name", core() + names("models"))
def test_the_core_looks_at_no_clock_network_or_environment(name: str) -> None:
    assert not {module for module in imported(name) if module.partition(".")[0] in WORLD}
    used = {ast.unparse(node) for node in ast.walk(sources()[name]) if isinstance(node, ast.Attribute)}
    impure = {use for use in used if any(use == bad or use.endswith("." + bad) for bad in IMPURE)}
    assert impure <= ALLOWED.get(name, set())
    drawn = {use for use in used if use.startswith("np.random.")}
    assert all(use.startswith(("np.random.default_rng", "np.random.Generator")) for use in drawn)


@pytest.mark.parametrize("name", core() + names("models"))
def test_a_generator_in_the_core_has_a_seed(name: str) -> None:
    for node in ast.walk(sources()[name]):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng"):
            assert node.args or node.keywords


@pytest.mark.parametrize("name", sorted(sources()))
def test_nothing_pickles_or_evaluates(name: str) -> None:
    assert not {module for module in imported(name) if module.partition(".")[0] in UNSAFE}
    for node in ast.walk(sources()[name]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "compile", "os.system", "os.popen"}
            assert not any(word.arg == "shell" for word in node.keywords)


def test_no_module_imports_in_a_circle() -> None:
    graph = {name: ours(name) & set(sources()) for name in sources()}
    while graph:
        leaves = {name for name, needs in graph.items() if not needs & set(graph)}
        assert leaves, f"imports in a circle among {sorted(graph)}"
        graph = {name: needs for name, needs in graph.items() if name not in leaves}
