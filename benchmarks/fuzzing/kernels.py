"""Which modules Numba compiles: it cannot do that to code that is instrumented."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTRUMENTED = ("json", "connectors", "detector")
"""Packages that show the fuzzer where it has been."""
COMPILER = "from models.compiled import"


def kernels() -> list[str]:
    """Names of the modules of these packages that hold kernels."""
    paths = [path for package in INSTRUMENTED for path in (ROOT / package).rglob("*.py")]
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if COMPILER in path.read_text()
    ]
