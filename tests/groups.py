"""Which tests stay together, in one process, where they run side by side.

pytest-xdist has marks for that, which it writes into the names of tests; pytest 9.2 does not let it any more,
and nothing says so (pytest-xdist issue 1386). So they are told by the files that they are in.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

SERVERS = ("servers", "secured servers", "benchmarks' servers")
"""Groups with servers of their own: while one waits for its, the others go on."""


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Of pytest-xdist: it hands out groups whole, and all other tests one by one."""
    by_group = LoadScopeScheduling(config, log)
    by_group._split_scope = lambda name: group_of(name) or name
    return by_group


def group_of(name: str) -> str:
    """The group of a test of this name (`tests/test_x.py::test_y`); empty: it may run anywhere."""
    return _group_of_file(name.partition("::")[0])


def turn_of(name: str) -> int:
    """Groups with servers come first, since they wait; then those of the benchmarks; then all other tests."""
    group = group_of(name)
    return SERVERS.index(group) if group in SERVERS else len(SERVERS) + (not group)


@cache
def _group_of_file(name: str) -> str:
    # The deployments that a module of benchmark tests makes are made once.
    of_benchmarks = "benchmarks" in Path(name).parts
    text = Path(__file__).parents[1].joinpath(name).read_text(encoding="utf-8")
    if "pytest.mark.servers" not in text:
        return Path(name).name if of_benchmarks else ""
    if "secured_" in text:
        return "secured servers"
    return "benchmarks' servers" if of_benchmarks else "servers"
