"""What the configuration says to the core."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says to the core. gap [s]; memory [bytes] of a shard, which its
    models share; `declared` client ids raise no alert; with `prior`, a model that learns and has no profile
    yet is judged by the shipped prior."""

    gap: float = 1800.0
    memory: int = 1 << 30
    budget: float = 1.0
    learn: bool = True
    prior: bool = True
    tenant: str = "default"
    declared: frozenset[str] = frozenset()
