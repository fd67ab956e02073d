"""What a part of a soak found: the disturbed run against the undisturbed one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults.site import Detector, States

Alerts = Sequence[tuple[str, dict[str, Any]]]


@dataclass
class Account:
    """Lines of one part; `well` is false when anything differs from what must be."""

    title: str
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """True when nothing differs."""
        return not self.problems

    def note(self, line: str) -> None:
        """Say what was done."""
        self.done.append(line)

    def demand(self, condition: bool, problem: str) -> None:
        """Note a problem unless the condition holds."""
        if not condition:
            self.problems.append(problem)

    def compare(self, got: Detector, expected: Detector) -> None:
        """Alerts, ids and content, and saved states must be the same."""
        self.compare_alerts(got.alerts(), expected.alerts())
        self.compare_states(got.states(), expected.states())

    def compare_alerts(self, got: Alerts, expected: Alerts) -> None:
        """Every alert of `expected` once, with the same content, and no other."""
        here, there = dict(got), dict(expected)
        doubled = [name for name, count in Counter(name for name, _ in got).items() if count > 1]
        lost = sorted(there.keys() - here.keys())
        foreign = sorted(here.keys() - there.keys())
        differ = [name for name in here.keys() & there.keys() if here[name] != there[name]]
        self.note(f"{len(there)} alerts and updates expected, {len(got)} stored")
        for names, word in (
            (lost, "lost"),
            (doubled, "doubled"),
            (foreign, "foreign"),
            (differ, "different"),
        ):
            self.demand(not names, f"{len(names)} alerts {word}: {', '.join(names[:3])}")
        self.demand(bool(there), "no alerts were expected, so nothing was shown")

    def compare_states(self, got: States, expected: States) -> None:
        """Saved states of the same partitions, equal in canonical form."""
        differ = sorted(p for p in got.keys() | expected.keys() if got.get(p) != expected.get(p))
        self.note(f"saved states of {len(got)} partitions compared")
        for p in differ:
            self.problems.append(f"state of partition {p}: {got.get(p)} instead of {expected.get(p)}")

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield f"{'ok    ' if self.well else 'FAILED'}  {self.title}"
        for line in self.done:
            yield f"          {line}"
        for problem in self.problems:
            yield f"        ! {problem}"
