"""querywatch beside its peers: one table, and what must be known to read it fairly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from benchmarks.detection.compare import FalseAlarms
from benchmarks.detection.judge import Found
from benchmarks.detection.peers import PEERS
from benchmarks.detection.run import Case, Deployed
from benchmarks.detection.tables import FAMILIES, clopper_pearson, short
from detector.query import IntArray

OURS = "querywatch"
NOTES = """\
Cells: attacks found of all, and the median of the attack's own queries until the first alarm. An alarm on
any query of an attack finds it, be it a dummy; an alert of querywatch counts at the query that triggered
it, as peers' alarms do. 75% dummies make 1,200 queries of 300: some peers alarm on any session so long, and
few benign ones are. False alerts: benign sessions with an alarm, where no attack is in the log,
and Clopper and Pearson's interval with sessions of one client as a cluster. 'Copies apart' leaves out
alarms on exact copies of earlier queries, which querywatch passes over; 'clients' were ever blamed.
Stateful Detection and PrivMon see the model's training data, and delta similarity the same attacks on
another model; a log has none of these. The recogniser of querywatch was taught on other models of these
data sets.
Some attacks are too short for a peer: PRADA can fire after 100 queries of one client, Stateful Detection
after 50, delta similarity from the 258th, the rule at the 500th within an hour. The quick form has 300
queries an attack: the rule can fire on dummies at most, and delta similarity hardly. Dealt to 25 accounts
(12 queries each; 24 in the full form) none of the four can fire. Only the full form, with up to 600
queries, is fair to them.
score_membership, knockoff_held_out and active_thief_held_out (3 of 32 kinds) show in no log, but count."""


@dataclass(frozen=True)
class Detector:
    """What one detector did: attacks by case, and false alarms of each deployment."""

    name: str
    found: dict[str, list[Found]]
    wrong: list[FalseAlarms]


def measured(
    deployments: Iterable[Deployed], cases: Sequence[Case], told: Callable[[str], None]
) -> list[Detector]:
    """querywatch, then each peer, on these cases of these deployments; `told` hears how far it is."""
    peers = (None, *PEERS)
    detectors = [Detector(p.name if p else OURS, {case.name: [] for case in cases}, []) for p in peers]
    for deployed in deployments:
        for peer, detector in zip(peers, detectors, strict=True):
            for case in cases:
                detector.found[case.name].extend(deployed.found(peer, case))
            detector.wrong.append(deployed.false_alarms(peer))
            told(f"seed {deployed.plan.seed}: {detector.name}")
    return detectors


def peers(detectors: Sequence[Detector], title: str) -> Table:
    """Cases and families by detectors; then false alerts."""
    table = Table(title=title)
    table.add_column("case", no_wrap=True)
    table.add_column("family", no_wrap=True)
    for detector in detectors:
        table.add_column(detector.name, justify="right")
    for case in detectors[0].found:
        for family in FAMILIES:
            table.add_row(case, family, *(_cell(d.found[case], family) for d in detectors))
        table.add_row(case, "all", *(_cell(d.found[case]) for d in detectors), style="bold")
        table.add_section()
    for name, field in (("per 10,000", "alarmed"), ("copies apart", "anew")):
        table.add_row("false alerts", name, *(_rate(d.wrong, field) for d in detectors))
    table.add_row("false alerts", "clients", *(_clients(d.wrong) for d in detectors))
    sessions = sum(sum(part.sessions) for part in detectors[0].wrong)
    table.caption = f"False alerts on {sessions:,} benign sessions."
    return table


def _cell(found: Sequence[Found], family: str = "") -> str:
    return short([one for one in found if family in ("", one.family)])


def _rate(parts: Sequence[FalseAlarms], field: str) -> str:
    sessions = np.array([n for part in parts for n in part.sessions], dtype=np.int64)
    alarmed = np.array([n for part in parts for n in getattr(part, field)], dtype=np.int64)
    low, high = clustered_interval(sessions, alarmed)
    return f"{_per(alarmed.sum() / sessions.sum())}\n{_per(low)} to {_per(high)}"


def _per(share: float) -> str:
    """A share per 10,000, without digits that mean nothing."""
    return f"{1e4 * share:,.0f}" if share >= 0.01 else f"{1e4 * share:.1f}"


def _clients(parts: Sequence[FalseAlarms]) -> str:
    clients = [alarmed for part in parts for alarmed in part.alarmed]
    return f"{sum(alarmed > 0 for alarmed in clients)} of {len(clients):,}"


def clustered_interval(
    sizes: Sequence[int] | IntArray, hits: Sequence[int] | IntArray
) -> tuple[float, float]:
    """95% interval of a share of sessions drawn in clusters, clients with `sizes` sessions of which `hits`
    each: Clopper and Pearson's with the number of sessions divided by the design effect, at least 1 (Korn
    and Graubard 1998)."""
    n_of, x_of = np.asarray(sizes, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    n, share, clusters = float(n_of.sum()), float(x_of.sum() / n_of.sum()), len(n_of)
    effect = 1.0
    if 0.0 < share < 1.0 and clusters > 1:
        variance = clusters / (clusters - 1) * float(((x_of - share * n_of) ** 2).sum()) / n**2
        effect = max(1.0, variance / (share * (1.0 - share) / n))
    return clopper_pearson(share * n / effect, n / effect)
