"""The whole decision with a recogniser that was not taught on the data set it judges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.table import Table

from benchmarks.detection.collect import Points
from benchmarks.detection.tables import clopper_pearson
from detector.contamination import thinned
from detector.evidence import LATE, accumulate, maxima_by_age, tails_by_age, thresholds_by_age
from detector.features.catalogue import FAMILIES, SIDES
from models.ensemble import Ensemble, Past
from models.recogniser import Recogniser, described

BUDGET = 1.0
NAMED = ("named rightly", "in the end")
ALONE = ("anomaly models alone", "median")


class Alert(NamedTuple):
    """A session's first alert: the queries seen by then, and the family that the recogniser names then, and
    at the last point over the threshold ("" without a recogniser)."""

    queries: int
    family: str
    in_the_end: str


def first_alerts(past: Points, now: Points, recogniser: Recogniser | None) -> dict[int, Alert]:
    """Sessions of `now` that would alert, judged by what `past` taught."""
    ensemble = Ensemble(SIDES, FAMILIES, recogniser)
    learned = Past(past.features, past.so_far, past.sessions)
    scores, _ = ensemble.fit_and_score(learned, thinned(past.sessions), ())
    tails = tails_by_age(maxima_by_age(scores, past.sessions, past.so_far), past.benign_sessions)
    return alerts_of(ensemble, thresholds_by_age(*tails, BUDGET), now)


def alerts_of(ensemble: Ensemble, thresholds: tuple[float, float], now: Points) -> dict[int, Alert]:
    """Sessions of `now` that would alert, judged by an ensemble and thresholds while they are short and once
    they are long."""
    low, high = thresholds
    evidence: dict[int, float] = defaultdict(float)
    over: dict[int, list[int]] = defaultdict(list)
    so_far = now.so_far
    judged = ensemble.score(now.features, so_far)
    rows = zip(now.sessions.tolist(), judged.tolist(), so_far.tolist(), strict=True)
    for i, (session, score, points) in enumerate(rows):
        evidence[session] = accumulate(evidence[session], score)
        if evidence[session] >= (low if points <= LATE else high):
            over[session].append(i)
    recogniser = ensemble.recogniser
    if recogniser is None:
        return {session: Alert(int(now.queries[rows[0]]), "", "") for session, rows in over.items()}
    seen = described(ensemble.tail.see(now.features).signed, now.features, now.means())
    named = np.array(recogniser.classes)[recogniser.families(seen).argmax(axis=1)]
    return {
        session: Alert(int(now.queries[rows[0]]), str(named[rows[0]]), str(named[rows[-1]]))
        for session, rows in over.items()
    }


class Outcome:
    """Sessions of many deployments, and when they alerted."""

    def __init__(self) -> None:
        self.attacks: dict[str, list[int | None]] = defaultdict(list)
        self.named: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        self.benign: dict[str, list[bool]] = defaultdict(list)
        self.sessions = 0
        """Benign ones, also those that were too short to be judged."""

    def add(self, now: Points, alerts: dict[int, Alert]) -> None:
        """Count the sessions of one model of one deployment."""
        truth = dict(zip(now.sessions.tolist(), zip(now.family, now.kind, strict=True), strict=True))
        self.sessions += now.benign_sessions - sum(family != "benign" for family, _ in truth.values())
        for session, (family, kind) in truth.items():
            if family == "benign":
                self.benign[kind].append(session in alerts)
            else:
                alert = alerts.get(session)
                self.attacks[kind].append(alert.queries if alert else None)
                if alert:
                    self.named[kind].append((alert.family == family, alert.in_the_end == family))

    @property
    def wrong(self) -> int:
        """Benign sessions that alerted."""
        return sum(sum(group) for group in self.benign.values())

    def found(self) -> tuple[int, int, float]:
        """Attack sessions found, all of them, and the median queries until the alert."""
        everything = [after for group in self.attacks.values() for after in group]
        after = [queries for queries in everything if queries is not None]
        return len(after), len(everything), float(np.median(after)) if after else float("nan")


def _right(named: Sequence[tuple[bool, bool]]) -> list[str]:
    """Shares named rightly at the first alert and at the last point over the threshold."""
    return [f"{np.mean(part):.0%}" for part in zip(*named, strict=True)] or ["-", "-"]


def by_data_set(outcomes: Sequence[tuple[str, Outcome, Outcome | None]], title: str) -> Table:
    """Per data set: found with the recogniser and, where that was tried, by the anomaly models alone; false
    alerts with it."""
    table = Table(title=title)
    tried = any(alone for _, _, alone in outcomes)
    columns = ("data set", "found", "median queries", *NAMED, *(ALONE if tried else ()), "false alerts")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    alarms = judged = sessions = 0
    for name, full, alone in outcomes:
        found, of, median = full.found()
        wrong = [w for group in full.benign.values() for w in group]
        alarms, judged, sessions = alarms + full.wrong, judged + len(wrong), sessions + full.sessions
        cells = [name, f"{found}/{of}", f"{median:.0f}"]
        cells += _right([pair for group in full.named.values() for pair in group])
        if alone:
            other, _, later = alone.found()
            cells += [f"{other}/{of}", f"{later:.0f}"]
        table.add_row(*cells, f"{sum(wrong)} of {len(wrong):,} judged")
    rates = []
    for count in (judged, sessions):
        low, high = clopper_pearson(alarms, count)
        rates.append(f"{alarms / count * 1e4:.1f} per 10,000 (95%: {low * 1e4:.1f} to {high * 1e4:.1f})")
    table.caption = (
        f"{alarms} false alerts on {judged:,} benign sessions long enough to be judged: {rates[0]}; "
        f"of all {sessions:,}: {rates[1]}"
    )
    return table


def by_attack(outcomes: Sequence[tuple[str, Outcome, Outcome]]) -> Table:
    """Per attack, over all data sets: found and median queries, with the recogniser and without."""
    table = Table(title="The same by attack")
    for number, column in enumerate(("attack", "found", "median queries", *NAMED, *ALONE)):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for kind in sorted({kind for _, full, _ in outcomes for kind in full.attacks}):
        cells = []
        for judges in ([full for _, full, _ in outcomes], [alone for _, _, alone in outcomes]):
            after = [a for judge in judges for a in judge.attacks[kind]]
            found = [a for a in after if a is not None]
            cells += [f"{len(found)}/{len(after)}", f"{np.median(found):.0f}" if found else "-"]
            if not cells[2:]:
                cells += _right([pair for _, full, _ in outcomes for pair in full.named[kind]])
        table.add_row(kind, *cells)
    return table
