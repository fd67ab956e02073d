"""Learning a profile from history: the logs are read twice, and a profile file is written."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from connectors.files import STDIN, FileSource, expand
from detector.config import Config
from detector.edge import open_source, read_log
from detector.errors import InputError
from detector.policy import LONG, SESSION
from detector.progress import Reading
from detector.query import Record
from detector.replay import require_a_log
from detector.settings import Settings
from detector.summary import Account

if TYPE_CHECKING:
    from detector.profile import ModelProfile

PER = "false alerts per 10,000 sessions"


@dataclass(slots=True)
class Fitted:
    """Profiles by model id; for each model that got none, why;
    evaluation points by model id; and what was read."""

    profiles: dict[str, ModelProfile]
    missing: dict[str, str]
    points: dict[str, int]
    account: Account

    def lines(self, budget: float) -> Iterator[str]:
        """The result for a person; `budget` in false alerts per 10,000 benign sessions."""
        yield f"queries       {self.account.queries:,}"
        yield f"dead letters  {self.account.dead_letters:,}"
        for reason, count in sorted(self.account.reasons.items()):
            yield f"  {count:>9,}  {reason}"
        for name, profile in sorted(self.profiles.items()):
            tail = profile.tail
            supported = tail.supported_budget()
            yield f"model         {name}: profile {profile.version}"
            yield f"              {tail.sessions:,} sessions, {self.points[name]:,} evaluation points"
            short, late = profile.thresholds(budget)[SESSION]
            yield f"              threshold {short:.1f} for a budget of {budget:g} " + PER
            yield f"              and {late:.1f} after {LONG} distinct queries: long sessions reach farther"
            yield f"              so many sessions can show {supported:.3g} {PER}" + (
                f"; beyond that the budget of {budget:g} is extrapolated" if supported > budget else ""
            )
            if profile.suspects:
                yield f"              {profile.suspects:,} sessions look like attacks and taught nothing;"
                yield "              to see them, replay this history with the profile"
        for name, why in sorted(self.missing.items()):
            yield f"model         {name}: no profile, {why}"


@contextmanager
def readable_twice(logs: Sequence[str]) -> Iterator[list[str]]:
    """The same logs, standard input and pipes copied to a temporary file for as long as this lasts."""
    with tempfile.TemporaryDirectory(prefix="querywatch-") as folder:
        names: list[str] = []
        for number, name in enumerate(expand(logs)):
            if name != STDIN and not Path(name).is_fifo():
                names.append(name)
                continue
            copy = Path(folder) / f"input-{number}"
            with copy.open("wb") as target:
                if name == STDIN:
                    shutil.copyfileobj(cast(BinaryIO, sys.stdin.buffer), target)
                else:
                    with Path(name).open("rb") as pipe:
                        shutil.copyfileobj(pipe, target)
            names.append(str(copy))
        yield names


def fit(logs: Sequence[str], config: Config, settings: Settings, *, for_itself: bool = False) -> Fitted:
    """Learn the profiles of all models in the logs, to judge others or with `for_itself` these. Raises
    InputError, SourceError."""
    from detector.fitting import Measuring, Sampling

    started = time.monotonic()
    with readable_twice(logs) as names:
        sampling = Sampling()
        for records in _read(open_source(names, config), config, "fit, pass 1 of 2", Account()):
            sampling.observe(records)
        measuring = Measuring(settings, sampling.units(), for_itself=for_itself)
        account = Account()
        source = open_source(names, config)
        for records in _read(source, config, "fit, pass 2 of 2", account):
            outcome = measuring.observe(records)
            account.queries += outcome.queries
            account.add_letters(outcome.dead_letters)
        require_a_log(account, source)
    account.seconds = time.monotonic() - started
    if not account.queries:
        raise InputError(f"{', '.join(logs)}: holds no query to learn from")
    profiles, missing = measuring.profiles()
    return Fitted(profiles, missing, measuring.evaluation_points(), account)


def of_these_logs(logs: Sequence[str], config: Config, settings: Settings) -> dict[str, ModelProfile]:
    """Profiles of those models that have enough history in the very logs that are to be judged; none where
    these can be read only once or hold no query. Raises SourceError."""
    if any(name == STDIN or not Path(name).is_file() for name in expand(logs)):
        return {}
    try:
        return fit(logs, config, settings, for_itself=True).profiles
    except InputError:
        return {}  # judging them tells the same, and keeps what cannot be read


def _read(source: FileSource, config: Config, label: str, account: Account) -> Iterator[Sequence[Record]]:
    log = read_log(source, config, account.add_letters)
    with Reading(label, source) as progress:
        for records in log.batches():
            account.records += len(records)
            yield records
            progress.advance(account.records)
