"""Tables of the result: attacks found and how soon, false alerts with their confidence interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from rich.table import Table
from scipy.stats import beta

from benchmarks.detection.run import Judged

TECHNIQUES = {
    "inversion": "model_inversion",
    "membership_inference": "membership_inference",
    "extraction": "model_extraction",
    "evasion": "evasion_search",
}


def attacks(judged: Iterable[Judged], title: str) -> Table:
    """Per attack: sessions, found, queries until the alert (median, and 90th percentile of the found)."""
    groups: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for one in judged:
        if one.truth.family != "benign":
            groups[one.truth.family, one.truth.kind].append(one)
    table = Table(title=title)
    for column in ("family", "attack", "sessions", "found", "median", "90%", "technique right"):
        left = column in ("family", "attack")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    everything = [one for group in groups.values() for one in group]
    for (family, kind), group in sorted(groups.items()):
        table.add_row(family, kind, *_attack_cells(group))
    table.add_row("all", "", *_attack_cells(everything), style="bold")
    return table


def _attack_cells(group: Sequence[Judged]) -> list[str]:
    after = [one.alerted_after for one in group if one.alerted_after is not None]
    right = sum(one.technique == TECHNIQUES[one.truth.family] for one in group)
    if not after:
        return [str(len(group)), "0%", "-", "-", "-"]
    return [
        str(len(group)),
        f"{len(after) / len(group):.0%}",
        f"{np.median(after):.0f}",
        f"{np.quantile(after, 0.9):.0f}",
        f"{right / len(after):.0%}",
    ]


def false_alerts(judged: Iterable[Judged], title: str) -> Table:
    """Per benign kind: sessions, false alerts, and the rate per 10,000 with its 95% interval."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        if one.truth.family == "benign":
            groups[one.truth.kind].append(one)
    table = Table(title=title)
    for column in ("benign kind", "sessions", "false alerts", "per 10,000", "95% interval"):
        table.add_column(column, justify="left" if column == "benign kind" else "right")
    everything = [one for group in groups.values() for one in group]
    for kind, group in [*sorted(groups.items()), ("all", everything)]:
        count, n = sum(one.alerted_after is not None for one in group), len(group)
        low, high = clopper_pearson(count, n)
        table.add_row(
            kind,
            f"{n:,}",
            str(count),
            f"{count / n * 1e4:.1f}",
            f"{low * 1e4:.1f} to {high * 1e4:.1f}",
            style="bold" if kind == "all" else "",
        )
    return table


def clopper_pearson(count: int, n: int, coverage: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share: `count` of `n` independent sessions (Clopper and Pearson 1934)."""
    tail = (1.0 - coverage) / 2.0
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(1.0 - tail, count + 1, n - count))
    return low, high
