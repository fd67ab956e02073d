"""`python -m benchmarks.detection`: how well the defaults detect, on deployments nobody tuned on."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.detection.run import Deployment, Judged, measure
from benchmarks.detection.tables import attacks, false_alerts


def main(
    seed: Annotated[int, typer.Option(help="First seed; each deployment takes the next one.")] = 9100,
    deployments: Annotated[int, typer.Option(help="Deployments of three models each.", min=1)] = 6,
    quick: Annotated[bool, typer.Option("--quick", help="One small deployment, in a few minutes.")] = False,
) -> None:
    """Measure detection and false alerts with unchanged defaults.

    Every deployment has its own freshly trained models, clients, ids and attacks; every other one has all
    its columns rescaled. Nothing of a reported session was seen when the profile was fitted.
    """
    full = Deployment(seed, history_sessions=4500, benign_sessions=9000, repeats=3)
    plan = [replace(full, seed=seed + i, rescale=i % 2 == 1) for i in range(deployments)]
    if quick:
        plan = [replace(full, history_sessions=2400, benign_sessions=1500)]
    variants = {
        "the log tells confidences only": replace(plan[0], outputs="confidence", benign_sessions=300),
        "the log tells labels only": replace(plan[0], outputs="label", benign_sessions=300),
        "the log tells no outputs": replace(plan[0], outputs="none", benign_sessions=300),
        "half of the attackers' queries are ordinary": replace(plan[0], dilution=0.5, benign_sessions=300),
    }
    progress, console = Console(stderr=True), Console(width=110)
    started = time.monotonic()

    def run(deployment: Deployment, what: str) -> list[Judged]:
        progress.print(f"[{time.monotonic() - started:5.0f} s] seed {deployment.seed}: {what}")
        with tempfile.TemporaryDirectory() as directory:
            return measure(deployment, Path(directory))

    judged = [one for deployment in plan for one in run(deployment, "plain")]
    console.print(attacks(judged, "Attacks found, and after how many queries"))
    console.print(false_alerts(judged, "False alerts at a budget of 1 per 10,000 sessions"))
    for what, deployment in variants.items():
        console.print(attacks(run(deployment, what), f"Attacks found when {what}"))


if __name__ == "__main__":
    typer.run(main)
