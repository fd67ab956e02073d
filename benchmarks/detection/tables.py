"""Tables of the result: attacks found and how soon, variants, false alerts with their interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from rich.table import Table
from scipy.stats import beta

from benchmarks.detection.judge import Found, Outcome

TECHNIQUES = {
    "inversion": "model_inversion",
    "membership_inference": "membership_inference",
    "extraction": "model_extraction",
    "evasion": "evasion_search",
}
FAMILIES = tuple(TECHNIQUES)


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right", no_wrap=number < left)
    return table


def attacks(found: Iterable[Found], title: str) -> Table:
    """Per attack: how many, found, own queries until the alert (median, 90th percentile of the found, and
    the median share of its budget), technique right in the first alert and in its last revision."""
    groups: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        groups[one.family, one.kind].append(one)
    columns = (
        "family",
        "attack",
        "attacks",
        "found",
        "median",
        "90%",
        "of budget",
        "technique right",
        "in the end",
    )
    table = _table(title, *columns, left=2)
    everything = [one for group in groups.values() for one in group]
    for (family, kind), group in sorted(groups.items()):
        table.add_row(family, kind, *_attack_cells(group))
    for written, told in ((False, "own numbers"), (True, "as the data's source writes")):
        if some := [one for one in everything if one.natural == written]:
            table.add_row("all", told, *_attack_cells(some))
    table.add_row("all", "", *_attack_cells(everything), style="bold")
    return table


def _attack_cells(group: Sequence[Found]) -> list[str]:
    hits = [(one.after, one.queries, one) for one in group if one.after is not None]
    if not hits:
        return [str(len(group)), "0%", "-", "-", "-", "-", "-"]
    after = [queries for queries, _, _ in hits]
    right = sum(one.technique == TECHNIQUES[one.family] for _, _, one in hits)
    finally_right = sum(one.in_the_end == TECHNIQUES[one.family] for _, _, one in hits)
    return [
        str(len(group)),
        f"{len(hits) / len(group):.0%}",
        f"{np.median(after):.0f}",
        f"{np.quantile(after, 0.9):.0f}",
        f"{np.median([queries / most for queries, most, _ in hits]):.0%}",
        f"{right / len(hits):.0%}",
        f"{finally_right / len(hits):.0%}",
    ]


def data_sets(found: Iterable[Found], title: str) -> Table:
    """Attacks by data sets: found of how many, and the median of own queries until the alert."""
    cells: dict[str, dict[str, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        cells[one.kind][one.model_id.rpartition("-")[0]].append(one)
    sets = sorted({name for row in cells.values() for name in row})
    table = _table(title, "attack", *sets)
    for kind, row in sorted(cells.items()):
        table.add_row(kind, *(short(row[name]) for name in sets))
    return table


def short(group: Sequence[Found]) -> str:
    """Found of all, and the median of own queries until then."""
    after = [one.after for one in group if one.after is not None]
    told = f" {np.median(after):.0f}" if after else ""
    return f"{len(after)}/{len(group)}{told}" if group else ""


def variants(outcomes: Mapping[str, Sequence[Outcome]], title: str) -> Table:
    """Cases by families: found, the median of own queries; which kind of entity was named; false alerts."""
    table = _table(title, "case", *FAMILIES, "all", "client or campaign", "false alerts")
    for name, parts in outcomes.items():
        found = [one for part in parts for one in part.attacks]
        hits = [one for one in found if one.after is not None]
        wide = sum(one.entity != "session" for one in hits)
        wrong, benign = sum(len(p.false_alerts) for p in parts), sum(sum(p.benign.values()) for p in parts)
        table.add_row(
            name,
            *(short([one for one in found if one.family == family]) for family in FAMILIES),
            short(found),
            f"{wide}/{len(hits)}",
            f"{wrong} of {benign:,}",
        )
    return table


def false_alerts(outcomes: Sequence[Outcome], title: str) -> Table:
    """Per benign kind: sessions, false alerts, and the rate per 10,000 with its 95% interval. Alerts on
    clients and campaigns have a row each, and count in the sum."""
    table = _table(title, "benign kind", "sessions", "false alerts", "per 10,000", "95% interval")
    wrong = [one for outcome in outcomes for one in outcome.false_alerts]
    sessions: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        for kind, count in outcome.benign.items():
            sessions[kind] += count
    for kind, n in sorted(sessions.items()):
        _rate(table, kind, sum(w.entity == "session" and w.kinds == (kind,) for w in wrong), n)
    clients = sum(outcome.benign_clients for outcome in outcomes)
    _rate(table, "clients", sum(w.entity == "client" for w in wrong), clients)
    everything = sum(sessions.values())
    _rate(table, "campaigns", sum(w.entity == "campaign" for w in wrong), everything)
    _rate(table, "all", len(wrong), everything, "bold")
    return table


def explainers(explained: Sequence[tuple[str, str]], title: str) -> Table:
    """Sessions of undeclared explainers by kind: with an alert, and what it named."""
    names = sorted({technique for _, technique in explained if technique})
    table = _table(title, "explainer", "sessions", "with an alert", *names)
    for kind in sorted({kind for kind, _ in explained}):
        mine = [technique for one, technique in explained if one == kind]
        alerted = sum(technique != "" for technique in mine)
        told = f"{alerted} ({alerted / len(mine):.0%})"
        table.add_row(kind, str(len(mine)), told, *(str(mine.count(name)) for name in names))
    return table


def _rate(table: Table, name: str, count: int, n: int, style: str = "") -> None:
    low, high = clopper_pearson(count, n)
    table.add_row(
        name,
        f"{n:,}",
        str(count),
        f"{count / n * 1e4:.1f}",
        f"{low * 1e4:.1f} to {high * 1e4:.1f}",
        style=style,
    )


def clopper_pearson(count: float, n: float, coverage: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share: `count` of `n` independent sessions (Clopper and Pearson 1934)."""
    tail = (1.0 - coverage) / 2.0
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(1.0 - tail, count + 1, n - count))
    return low, high
