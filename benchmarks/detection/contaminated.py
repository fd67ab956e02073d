"""A history that holds attacks: what is found, and what is false, with a profile learned from it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from rich.table import Table

from benchmarks.detection.judge import Outcome
from benchmarks.detection.tables import clopper_pearson
from benchmarks.traces.attacks import UNSEEN

SHARES = (0.0, 0.01, 0.02, 0.05)
"""Attack sessions in the history, as shares of all sessions."""


class Contaminated(msgspec.Struct, frozen=True):
    """One deployment's outcome with that share of attacks in the history: so many sessions of attacks, and
    so many of the history that were taken for such."""

    share: float
    outcome: Outcome
    attacks: int
    suspects: int


def table(measured: Sequence[Contaminated], title: str) -> Table:
    """A row for each share that was measured."""
    out = Table(title=title)
    columns = ("attacks in the history", "sessions", "left out", "visible found", "median queries")
    for number, column in enumerate((*columns, "false alerts", "per 10,000")):
        out.add_column(column, justify="right" if number else "left", no_wrap=True)
    for share in sorted({one.share for one in measured}):
        mine = [one for one in measured if one.share == share]
        visible = [a for one in mine for a in one.outcome.attacks if a.kind not in UNSEEN]
        after = [a.after for a in visible if a.after is not None]
        false = sum(len(one.outcome.false_alerts) for one in mine)
        benign = sum(sum(one.outcome.benign.values()) for one in mine)
        low, high = clopper_pearson(false, benign)
        out.add_row(
            f"{share:.0%}",
            f"{sum(one.attacks for one in mine):,}",
            f"{sum(one.suspects for one in mine):,}",
            f"{len(after)}/{len(visible)}",
            f"{np.median(after):.0f}" if after else "-",
            f"{false} of {benign:,}",
            f"{false / benign * 1e4:.1f} ({low * 1e4:.1f} to {high * 1e4:.1f})",
        )
    return out
