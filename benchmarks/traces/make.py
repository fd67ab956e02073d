"""Makes the three files: a benign history, a trace with attacks, and the truth about the trace."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.traces import log
from benchmarks.traces.attacks import ALL, DEFAULT_ATTACKS, fitting
from benchmarks.traces.data import DATASETS
from benchmarks.traces.deployment import Deployment
from benchmarks.traces.program import Program
from benchmarks.traces.schedule import DAY, Period
from benchmarks.traces.variants import PLAIN, Variant
from benchmarks.traces.wording.corpora import CORPORA

HISTORY, TRACE, TRUTH = "history.ndjson.gz", "trace.ndjson.gz", "truth.json"
HISTORY_DAYS, TRACE_DAYS = 14.0, 2.0
TOOLS = ("adversarial-robustness-toolbox", "cma", "numpy", "pillow", "scikit-learn", "scipy")
Progress = Callable[[str], None]


class SessionTruth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one session of the trace really was; times in epoch seconds.

    `attack_queries` is below `queries` where the attacker mixed ordinary ones in. Sessions that one attack
    was spread over carry the same `campaign`. `natural`: the attacker's program writes rows as the data's own
    source does.
    """

    session_id: str
    client_id: str
    model_id: str
    kind: str
    family: str
    queries: int
    attack_queries: int
    first: float
    last: float
    campaign: str = ""
    natural: bool = False


class Truth(msgspec.Struct, frozen=True):
    """The truth about a trace, and how it was made."""

    seed: int
    history_sessions: int
    history_queries: int
    settings: dict[str, object]
    versions: dict[str, str]
    sources: dict[str, str]
    sessions: list[SessionTruth]

    def attacks(self) -> list[SessionTruth]:
        """The sessions that are attacks."""
        return [s for s in self.sessions if s.family != "benign"]


def make(
    directory: Path,
    seed: int,
    rescale: bool = False,
    history_sessions: int = 800,
    benign_sessions: int = 120,
    attacks: Sequence[str] | None = None,
    *,
    repeats: int = 1,
    queries: tuple[int, int] = (150, 600),
    variant: Variant = PLAIN,
    natural: float = 0.0,
    varied: bool = False,
    outputs: log.Outputs = "probabilities",
    models: Sequence[str] = ("digits", "cancer"),
    progress: Progress = lambda _: None,
) -> Truth:
    """Writes history.ndjson.gz, trace.ndjson.gz and truth.json into `directory`; the same arguments give
    the same bytes.

    Each name of `attacks` (default `DEFAULT_ATTACKS`) makes `repeats` sessions; the models take turns.
    Budgets are drawn from the range `queries`. `variant` is how the attackers hide; the share `natural` of
    them writes rows as the data's own source does (see `benchmarks.traces.program`). With `varied`, each
    model's honest clients are mixed in another way, and half of the attackers scale columns by their own rows
    (see `benchmarks.traces.recording`). Raises ValueError for a value out of its range or an unknown name.
    """
    names = list(DEFAULT_ATTACKS if attacks is None else attacks)
    _check(names, models, queries, variant, natural, history_sessions, benign_sessions)
    writing, scaling, liking = (np.random.default_rng([seed, n]) for n in (6, 8, 9))
    with threadpool_limits(1):  # results of parallel sums may differ in the last digit
        progress("training the targets")
        deployment = Deployment(seed, models, varied)
        first = deployment.first_day
        progress(f"history: {history_sessions} benign sessions")
        history = deployment.benign(history_sessions, Period(first, HISTORY_DAYS))
        progress(f"trace: {benign_sessions} benign sessions")
        period = Period(first + HISTORY_DAYS * DAY + DAY, TRACE_DAYS)
        trace = deployment.benign(benign_sessions, period)
        for i, name in enumerate(names * repeats):
            # The second round of names falls on the other model also when their number is even.
            target = deployment.targets[(i + i // len(names) * (len(names) % 2 == 0)) % len(models)]
            budget = int(deployment.rng.integers(queries[0], queries[1] + 1))
            progress(
                f"attack {i + 1} of {len(names) * repeats}: {name} on {target.model_id}, {budget} queries"
            )
            program = Program.drawn(liking, natural=bool(writing.random() < natural))
            scales = varied and bool(scaling.random() < 0.5)
            trace += deployment.attack(target, name, budget, variant, period, program, scales)
    rng = np.random.default_rng([seed, 2])
    units = (
        {t.model_id: log.Units.draw(rng, t.dataset.columns) for t in deployment.targets} if rescale else None
    )
    progress("writing")
    directory.mkdir(parents=True, exist_ok=True)
    written = log.write(directory / HISTORY, history, outputs, units)
    log.write(directory / TRACE, trace, outputs, units)
    truth = Truth(
        seed=seed,
        history_sessions=len(history),
        history_queries=written,
        settings={
            "attacks": names,
            "benign_sessions": benign_sessions,
            "dilution": variant.dilution,
            "models": list(models),
            "natural": natural,
            "outputs": outputs,
            "queries": list(queries),
            "repeats": repeats,
            "rescale": rescale,
            "varied": varied,
        }
        | variant.settings(),
        versions={"python": platform.python_version()} | {tool: version(tool) for tool in TOOLS},
        sources={name: ALL[name].source for name in sorted(set(names))},
        sessions=sorted((_truth(s) for s in trace), key=lambda s: (s.first, s.session_id)),
    )
    text = msgspec.json.format(msgspec.json.encode(truth), indent=1)
    (directory / TRUTH).write_bytes(text + b"\n")
    return truth


def _truth(s: log.Session) -> SessionTruth:
    return SessionTruth(
        session_id=s.session_id,
        client_id=s.client_id,
        model_id=s.model_id,
        kind=s.kind,
        family=s.family,
        queries=len(s.times),
        attack_queries=int(s.own.sum()),
        first=float(s.times[0]),
        last=float(s.times[-1]),
        campaign=s.campaign,
        natural=s.natural,
    )


def _check(
    names: list[str],
    models: Sequence[str],
    queries: tuple[int, int],
    variant: Variant,
    natural: float,
    history_sessions: int,
    benign_sessions: int,
) -> None:
    if unknown := sorted(set(names) - set(ALL)):
        raise ValueError(f"unknown attacks {', '.join(unknown)}; known are {', '.join(ALL)}")
    if not models or (set(models) - set(DATASETS)):
        raise ValueError(f"models must be one or more of {', '.join(DATASETS)}, not {list(models)}")
    for model in models:
        if unfit := [name for name in names if not fitting(name, model in CORPORA)]:
            what = "texts that are written" if model in CORPORA else "numbers"
            raise ValueError(f"the inputs of {model} are {what}; {', '.join(unfit)} cannot be sent there")
    if not 1 <= queries[0] <= queries[1]:
        raise ValueError(f"queries must be a range of at least 1, such as 150 to 600, not {queries}")
    variant.check()
    if not 0.0 <= natural <= 1.0:
        raise ValueError(f"natural must be 0 to 1, not {natural}")
    if history_sessions < 1 or benign_sessions < 0:
        raise ValueError("history_sessions must be at least 1 and benign_sessions at least 0")
