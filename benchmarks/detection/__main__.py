"""`python -m benchmarks.detection`: how well the defaults detect, on deployments nobody tuned on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.detection import contaminated, no_profile, peer_table, tables
from benchmarks.detection.cache import Cache
from benchmarks.detection.judge import Outcome
from benchmarks.detection.plans import cases, compared, deployments
from benchmarks.detection.run import Case, Deployed


def main(
    seed: Annotated[int, typer.Option(help="First seed; each deployment takes the next one.")] = 9100,
    count: Annotated[
        int | None,
        typer.Option("--deployments", help="Deployments of three models each: 6, or 1 if quick.", min=1),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small deployments, in some minutes each.")] = False,
    texts: Annotated[
        bool, typer.Option("--texts", help="Models of texts, and attacks that write them, instead.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Keep recorded attacks and results here, and go on from them.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Measure only this case (repeatable).")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Draw each attack on the first deployment into this folder.")
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Measure published detectors beside querywatch instead.")
    ] = False,
    contamination: Annotated[
        bool, typer.Option("--contamination", help="Measure with attacks in the history instead.")
    ] = False,
    without_profile: Annotated[
        bool, typer.Option("--no-profile", help="Measure one pass that learns as it goes instead.")
    ] = False,
) -> None:
    """Measure detection and false alerts with unchanged defaults.

    Every deployment has its own freshly trained models, clients, ids and attacks; every other one has all
    its columns rescaled. Nothing of a reported session was seen when the profile was fitted. Attacks are
    recorded once and replayed in every variant.
    """
    started, kept = time.monotonic(), Cache(cache)
    console, progress = Console(width=170 if peers else 120), Console(stderr=True)

    def told(text: str) -> None:
        progress.print(f"[{time.monotonic() - started:5.0f} s] {text}", markup=False)

    chosen = [case for case in (compared if peers else cases)(quick) if not only or case.name in only]
    made = (Deployed(plan, kept) for plan in deployments(seed, count or (1 if quick else 6), quick, texts))
    if peers:
        console.print(peer_table.peers(peer_table.measured(made, chosen, told), "Beside published detectors"))
        console.print(peer_table.NOTES)
    elif without_profile:
        _one_pass(console, made, told)
    elif contamination:
        _contaminated(console, made, told)
    else:
        _report(console, made, chosen, told, pictures)


def _one_pass(console: Console, made: Iterable[Deployed], told: Callable[[str], None]) -> None:
    mixed, clean = [], []
    for deployed in made:
        mixed.append(deployed.unprofiled(clean=False))
        clean.append(deployed.unprofiled(clean=True))
        told(f"seed {deployed.plan.seed}: no profile")
    for passes, when in ((mixed, "at any time"), (clean, "after a clean start")):
        found = [attack for one in passes for attack in one.outcome.attacks]
        console.print(tables.attacks(found, f"No profile, learning as it goes; attacks begin {when}"))
        console.print(tables.false_alerts([one.outcome for one in passes], f"False alerts; attacks {when}"))
    console.print(no_profile.table(mixed, clean, "No profile, by when the attack began"))


def _contaminated(console: Console, made: Iterable[Deployed], told: Callable[[str], None]) -> None:
    measured = []
    for deployed in made:
        for share in contaminated.SHARES:
            measured.append(deployed.contaminated(share))
            told(f"seed {deployed.plan.seed}: {share:.0%} attacks in the history")
    console.print(contaminated.table(measured, "Profiles learned from a history that holds attacks"))


def _report(
    console: Console,
    made: Iterable[Deployed],
    chosen: list[Case],
    told: Callable[[str], None],
    pictures: Path | None,
) -> None:
    outcomes: dict[str, list[Outcome]] = {case.name: [] for case in chosen}
    explained: list[tuple[str, str]] = []
    for number, deployed in enumerate(made):
        if pictures is not None and number == 0:
            from benchmarks.detection.pictures import draw

            told(f"{len(draw(deployed.looks(Case('plain')), pictures))} pictures in {pictures}")
        for case in chosen:
            outcomes[case.name].append(deployed.outcome(case))
            told(f"seed {deployed.plan.seed}: {case.name}")
        if "plain" in outcomes:
            explained += deployed.explained()
    if plain := outcomes.get("plain"):
        found = [one for outcome in plain for one in outcome.attacks]
        console.print(tables.attacks(found, "Attacks found, and after how many of their queries"))
        console.print(tables.data_sets(found, "The same by data set: found of all, median queries"))
        console.print(tables.false_alerts(plain, "False alerts at a budget of 1 per 10,000 sessions"))
        console.print(
            tables.explainers(explained, "Explainers that nobody has told of (no false alerts above)")
        )
    console.print(tables.variants(outcomes, "Attacks that hide, and logs that tell less"))


if __name__ == "__main__":
    typer.run(main)
