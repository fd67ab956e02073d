"""No profile at all: one pass over a mixed log, learning as it goes.

The log holds all of a deployment's benign sessions, those that elsewhere teach and those that elsewhere
report, and attacks that begin at any time from the first hour on. Whatever goes undetected teaches too. To
tell what that costs, a second pass has the same attacks after a clean start.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from rich.table import Table

from benchmarks.detection.judge import Found, Outcome
from benchmarks.detection.tables import FAMILIES, short
from benchmarks.traces.log import Session

PARTS = ((0.0, 0.1), (0.1, 0.5), (0.5, 1.0))
"""Shares of a model's log."""


class Unprofiled(msgspec.Struct, frozen=True):
    """What one pass gave; `begun`: the share of its model's queries that were past when each attack began;
    `first_profile`: the same for when each model had its first profile, 1 if never; `attack_share`: of all
    queries, those of attacks."""

    outcome: Outcome
    begun: list[float]
    first_profile: dict[str, float]
    attack_share: float


def past_share(sessions: Sequence[Session], model_id: str, time: float) -> float:
    """The share of a model's queries that were sent before that time."""
    times = np.concatenate([s.times for s in sessions if s.model_id == model_id])
    return float((times < time).mean())


def table(mixed: Sequence[Unprofiled], clean: Sequence[Unprofiled], title: str) -> Table:
    """Families by when the attack began: found of all, median of own queries, false alerts."""
    result = Table(title=title)
    result.add_column("the attack began after")
    for name in (*FAMILIES, "all", "false alerts"):
        result.add_column(name, justify="right")
    attacks = [
        (one, begun) for part in mixed for one, begun in zip(part.outcome.attacks, part.begun, strict=True)
    ]
    for low, high in PARTS:
        _row(result, f"{low:.0%} to {high:.0%} of the log", [a for a, b in attacks if low <= b < high], "")
    _row(result, "any time", [a for a, _ in attacks], _wrong(mixed), "bold")
    after = [one for part in clean for one in part.outcome.attacks]
    _row(result, "a clean start", after, _wrong(clean), "bold")
    first = [share for part in mixed for share in part.first_profile.values()]
    share = np.mean([part.attack_share for part in mixed])
    result.caption = (
        f"First profiles after {min(first):.0%} to {max(first):.0%} of a model's queries; "
        f"{share:.0%} of all queries were an attack's."
    )
    return result


def _row(result: Table, name: str, found: Sequence[Found], wrong: str, style: str = "") -> None:
    cells = [short([one for one in found if one.family == family]) for family in FAMILIES]
    result.add_row(name, *cells, short(found), wrong, style=style)


def _wrong(passes: Sequence[Unprofiled]) -> str:
    wrong = sum(len(part.outcome.false_alerts) for part in passes)
    return f"{wrong} of {sum(sum(part.outcome.benign.values()) for part in passes):,}"
