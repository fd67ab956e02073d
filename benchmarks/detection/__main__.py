"""`python -m benchmarks.detection`: how well the defaults detect, on deployments nobody tuned on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.detection import tables
from benchmarks.detection.cache import Cache
from benchmarks.detection.judge import Outcome
from benchmarks.detection.plans import cases, deployments
from benchmarks.detection.run import Deployed


def main(
    seed: Annotated[int, typer.Option(help="First seed; each deployment takes the next one.")] = 9100,
    count: Annotated[int, typer.Option("--deployments", help="Deployments of three models each.", min=1)] = 6,
    quick: Annotated[bool, typer.Option("--quick", help="One small deployment, in some minutes.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Keep recorded attacks and results here, and go on from them.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Measure only this case (repeatable).")] = None,
) -> None:
    """Measure detection and false alerts with unchanged defaults.

    Every deployment has its own freshly trained models, clients, ids and attacks; every other one has all
    its columns rescaled. Nothing of a reported session was seen when the profile was fitted. Attacks are
    recorded once and replayed in every variant.
    """
    progress, console = Console(stderr=True), Console(width=120)
    started = time.monotonic()
    kept = Cache(cache)
    outcomes: dict[str, list[Outcome]] = {
        case.name: [] for case in cases(quick) if not only or case.name in only
    }
    for plan in deployments(seed, count or (1 if quick else 6), quick):
        deployed = Deployed(plan, kept)
        for case in cases(quick):
            if case.name in outcomes:
                outcomes[case.name].append(deployed.outcome(case))
                past = time.monotonic() - started
                progress.print(f"[{past:5.0f} s] seed {plan.seed}: {case.name}", markup=False)
    if plain := outcomes.get("plain"):
        found = [one for outcome in plain for one in outcome.attacks]
        console.print(tables.attacks(found, "Attacks found, and after how many of their queries"))
        console.print(tables.data_sets(found, "The same by data set: found of all, median queries"))
        console.print(tables.false_alerts(plain, "False alerts at a budget of 1 per 10,000 sessions"))
    console.print(tables.variants(outcomes, "Attacks that hide, and logs that tell less"))


if __name__ == "__main__":
    typer.run(main)
