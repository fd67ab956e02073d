"""What there is to know of an attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.traces.attacks.attacker import Attacker


@dataclass(frozen=True)
class Attack:
    """How an attack is run, the family it counts as, and the tool or paper it comes from."""

    family: str
    run: Callable[[Attacker], None]
    source: str
