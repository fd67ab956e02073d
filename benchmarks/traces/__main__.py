"""`python -m benchmarks.traces OUTDIR`: writes a history, a trace with attacks, and the truth about it."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.traces.attacks import ALL, DEFAULT_ATTACKS, fitting
from benchmarks.traces.data import DATASETS
from benchmarks.traces.log import Outputs
from benchmarks.traces.make import make
from benchmarks.traces.variants import Variant
from benchmarks.traces.wording.corpora import CORPORA

ATTACK_HELP = f"Attack to carry out (repeatable), or 'all' that fit the models. Known: {', '.join(ALL)}."


app = typer.Typer(add_completion=False)


@app.command()
def command(
    outdir: Annotated[
        Path, typer.Argument(help="Directory for history.ndjson.gz, trace.ndjson.gz, truth.json.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Everything random: models, clients, ids, attacks.")] = 0,
    history_sessions: Annotated[int, typer.Option(min=1, help="Benign sessions in the history.")] = 800,
    sessions: Annotated[int, typer.Option(min=0, help="Benign sessions in the trace.")] = 120,
    attack: Annotated[list[str] | None, typer.Option(help=ATTACK_HELP)] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Sessions of each attack; the models take turns.")] = 1,
    least: Annotated[int, typer.Option(min=1, help="Smallest query budget of an attack.")] = 150,
    most: Annotated[int, typer.Option(min=1, help="Largest query budget of an attack.")] = 600,
    dilution: Annotated[
        float, typer.Option(help="Share of ordinary queries in attack sessions, 0 to 0.95.")
    ] = 0.0,
    jitter: Annotated[
        float, typer.Option(help="Noise on every attack query: standard deviation in ranges of a column.")
    ] = 0.0,
    shuffle: Annotated[int, typer.Option(help="Send attack queries shuffled in windows of this many.")] = 0,
    accounts: Annotated[int, typer.Option(help="New clients that an attack is dealt to, in turn.")] = 1,
    session_queries: Annotated[
        int, typer.Option(help="An attacker's queries under one session id; 0: all under one.")
    ] = 0,
    pause: Annotated[
        tuple[float, float] | None, typer.Option(help="Seconds between an attacker's queries: least, most.")
    ] = None,
    natural: Annotated[
        float, typer.Option(help="Share of attackers that write rows as the data's own source does.")
    ] = 0.0,
    outputs: Annotated[
        Outputs, typer.Option(help="What the log tells of the model's answers.")
    ] = "probabilities",
    rescale: Annotated[
        bool, typer.Option("--rescale", help="Log every column in another, random unit.")
    ] = False,
    varied: Annotated[
        bool, typer.Option("--varied", help="Draw each model's mix of honest clients, and attackers' scales.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help=f"Target (repeatable): {', '.join(DATASETS)}.")
    ] = None,
) -> None:
    """Trains scikit-learn models on real data, plays honest clients and carries out real attacks against
    them, and logs every query with the model's true answer. The same options give the same bytes."""
    begun = time.monotonic()
    models = model or ["digits", "cancer"]
    written = [name in CORPORA for name in models]
    fit = [name for name in ALL if all(fitting(name, texts) for texts in written)]
    if not fit:
        raise typer.BadParameter("no attack fits all of these models: some take numbers, some texts")
    names = fit if attack == ["all"] else attack or [name for name in DEFAULT_ATTACKS if name in fit] or fit
    try:
        truth = make(
            outdir,
            seed,
            rescale,
            history_sessions,
            sessions,
            names,
            repeats=repeats,
            queries=(least, most),
            variant=Variant(dilution, jitter, shuffle, accounts, session_queries, pause),
            natural=natural,
            varied=varied,
            outputs=outputs,
            models=models,
            progress=lambda line: typer.echo(f"[{time.monotonic() - begun:6.1f} s] {line}", err=True),
        )
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from problem
    queries: Counter[str] = Counter()
    for session in truth.sessions:
        queries[session.family] += session.queries
    told = ", ".join(f"{family} {count}" for family, count in sorted(queries.items()))
    typer.echo(f"history: {truth.history_sessions} sessions, {truth.history_queries} queries")
    typer.echo(
        f"trace: {len(truth.sessions)} sessions, {len(truth.attacks())} of them attacks; queries: {told}"
    )


if __name__ == "__main__":
    app()
