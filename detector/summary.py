"""What came of a run, counted, and told on a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detector.alert import Alert
from detector.query import REASONS, DeadLetter

if TYPE_CHECKING:
    from detector.pipeline import Shard
    from detector.profile import ModelProfile
    from detector.router import Outcome


MODEL_LINES = 20
"""Models named in the account; a log may hold very many."""


@dataclass(slots=True)
class Account:
    """Everything that a run counted.

    `records` were read, `queries` of them counted and scored; `techniques` counts alerts, `hindsight` those
    of them that were raised late (`detector.hindsight`), `updates` the later messages about alerts,
    `known_before` messages that the sink held already.
    """

    records: int = 0
    queries: int = 0
    repeated: int = 0
    late: int = 0
    sessions: int = 0
    seconds: float = 0.0
    hindsight: int = 0
    updates: int = 0
    known_before: int = 0
    techniques: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    example: str = ""
    models: list[str] = field(default_factory=list)
    alerts_in: str = ""
    dead_letters_in: str = ""
    interrupted: bool = False

    @property
    def alerts(self) -> int:
        """Alerts raised, without their updates."""
        return self.techniques.total()

    @property
    def dead_letters(self) -> int:
        """Records that could not be used."""
        return self.reasons.total()

    def add(self, records: int, outcome: Outcome, alerts: Iterable[Alert]) -> None:
        """Count a batch of records, and those of its alerts that are told; not its dead letters."""
        self.records += records
        self.queries += outcome.queries
        self.repeated += outcome.repeated
        self.add_alerts(alerts)

    def add_alerts(self, alerts: Iterable[Alert]) -> None:
        """Count alerts by technique."""
        for alert in alerts:
            if alert.document["event"]["kind"] == "alert":
                self.techniques[alert.document["querywatch"]["technique"]["name"]] += 1
                self.hindsight += "hindsight" in alert.document["querywatch"]["alert"]
            else:
                self.updates += 1

    def add_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Count dead letters by reason, and keep the first as an example."""
        for letter in letters:
            self.reasons[letter.reason] += 1
            if not self.example:
                self.example = f"{letter.source}, {position(letter)}: {letter.detail}"

    def lines(self) -> Iterator[str]:
        """The account for a person."""
        if self.interrupted:
            yield "Interrupted; this is the account so far."
        speed = (
            f" ({self.queries / self.seconds:,.0f} queries/s)" if self.seconds > 0 and self.queries else ""
        )
        yield f"queries       {self.queries:,} in {self.seconds:.1f} s{speed}"
        yield f"sessions      {self.sessions:,}"
        yield f"alerts        {self.alerts:,}" + (f" (and {self.updates:,} updates)" if self.updates else "")
        for name, count in sorted(self.techniques.items(), key=lambda item: (-item[1], item[0])):
            yield f"  {count:>9,}  {name}"
        if self.hindsight:
            yield f"  {self.hindsight:>9,}  of them in hindsight, once enough was known of a model"
        if self.known_before:
            yield f"  {self.known_before:>9,}  messages had been stored by an earlier run"
        yield f"dead letters  {self.dead_letters:,}"
        for reason, count in sorted(self.reasons.items(), key=lambda item: (-item[1], item[0])):
            yield f"  {count:>9,}  {reason}: {REASONS.get(reason, reason)}"
        if self.example:
            yield f"  first: {self.example}"
        if self.late:
            yield f"late          {self.late:,} records far behind the newest before them; counted and scored"
        if self.repeated:
            yield f"repeated      {self.repeated:,} records delivered before; counted once"
        for line in self.models[:MODEL_LINES]:
            yield f"model         {line}"
        if len(self.models) > MODEL_LINES:
            yield f"              and {len(self.models) - MODEL_LINES:,} more models"
        yield f"alerts are in        {self.alerts_in}"
        if self.dead_letters:
            yield f"dead letters are in  {self.dead_letters_in}"


def position(letter: DeadLetter) -> str:
    """Where a dead letter stood in its file, lines counted from 1 as editors do."""
    return f"line {letter.offset + 1}"


def describe_models(shard: Shard, given: dict[str, ModelProfile]) -> list[str]:
    """For each model of a shard, one line: which profile judged it, or why none did."""
    return [f"{name}: {_judged_by(shard, given, name)}" for name in sorted(shard.models)]


def _judged_by(shard: Shard, given: dict[str, ModelProfile], name: str) -> str:
    from detector.input_sample import SAMPLE_QUERIES
    from detector.learner import ENOUGH, FIRST_BUILD, FIRST_SESSIONS
    from detector.profile import MINIMUM_SESSIONS

    state = shard.models[name]
    budget = state.settings.budget
    if state.profile is not None:
        origin = "learned from this traffic"
        if name in given:
            same = given[name].version == state.profile.version
            origin = "given" if same else f"learned on from {given[name].version}, which was given"
        supported = state.profile.tail.supported_budget()
        said = f"judged by profile {state.profile.version} ({origin}), threshold {state.threshold:.1f}"
        if supported > budget:
            said += (
                f"; its {state.profile.tail.sessions:,} sessions can show {supported:.3g} false alerts per "
                f"10,000 sessions, beyond that the budget of {budget:g} is extrapolated"
            )
        return said
    why = ""
    if name in given:
        why = f"the profile is for inputs of {given[name].input_length} numbers, these have {state.d}; "
    elif given:
        why = "the profile does not know this model; "
    if state.learner is None:
        return f"no opinion: {why}and learning is off; make a profile with `querywatch fit`"
    if state.judge is not None:
        supported = state.judge.tail.supported_budget()
        why = (
            f"judged by {state.judge.version} (what is known of other models; their sessions can show "
            f"{supported:.3g} false alerts per 10,000), threshold {state.threshold:.1f}: {why}"
        )
    else:
        why = f"no opinion: {why}"
    if state.sample is not None and not state.measured:
        need = f"{state.sample.seen:,} of {SAMPLE_QUERIES:,} queries needed to learn its inputs"
    elif state.learner.points < FIRST_BUILD:
        points = f"{state.learner.points:,} of {FIRST_BUILD:,}"
        need = f"{points} evaluation points needed (one every 4 queries)"
    else:
        many = state.learner.points >= ENOUGH * FIRST_BUILD
        sessions = MINIMUM_SESSIONS if many else FIRST_SESSIONS
        need = f"fewer than {sessions} of its sessions are long enough to learn from"
    return f"{why}too little traffic for a profile, {need}; make one from history with `querywatch fit`"
