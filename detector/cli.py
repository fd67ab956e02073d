"""The command line: `querywatch COMMAND`. Each command's work is in a file of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from detector import __version__

app = typer.Typer(
    name="querywatch",
    help="Recognises attacks on machine-learning models in the log of the queries they answer.",
    epilog="First steps: `querywatch demo`, then `querywatch fit --help` and `querywatch replay --help`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Logs = Annotated[
    list[str],
    typer.Argument(
        metavar="LOG...", help="Query logs: files (.gz, .zst), patterns, or - for standard input."
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration; `querywatch init` writes one.")
]
ProfileFile = Annotated[
    Path | None, typer.Option("--profile", help="Profile file that judges, written by `querywatch fit`.")
]
Budget = Annotated[
    float | None,
    typer.Option("--budget", min=0.001, max=100.0, help="False alerts accepted per 10,000 benign sessions."),
]
Learn = Annotated[
    bool | None,
    typer.Option("--learn/--frozen", help="Go on learning from this traffic, or not; default: the config's."),
]


@contextmanager
def reported() -> Iterator[None]:
    """Errors made on purpose as one line on standard error and exit code 2; Ctrl-C as 130."""
    from detector.errors import QuerywatchError

    try:
        yield
    except QuerywatchError as error:
        typer.echo(f"querywatch: {error}", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("querywatch: interrupted", err=True)
        raise typer.Exit(130) from error


def say(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines."""
    for line in lines:
        typer.echo(line, err=err)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"querywatch {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Recognises attacks on machine-learning models in the log of the queries they answer.

    It reads the query log of a model server (a Kafka topic or files), and alerts on sessions that look
    like model inversion, membership inference, extraction or query-based evasion.
    """


@app.command()
def replay(
    logs: Logs,
    profile: ProfileFile = None,
    alerts: Annotated[
        Path | None, typer.Option("--alerts", help="Write alerts to this NDJSON file (- standard output).")
    ] = None,
    db: Annotated[Path | None, typer.Option("--db", help="Add alerts to this SQLite file.")] = None,
    config: ConfigFile = None,
    budget: Budget = None,
    learn: Learn = None,
    elasticsearch: Annotated[
        bool,
        typer.Option("--elasticsearch", help="Also to the configured Elasticsearch, namespace `replay`."),
    ] = False,
    page: Annotated[
        bool, typer.Option("--page", help="With --elasticsearch: as live alerts, which page people.")
    ] = False,
) -> None:
    """Read query logs to the end and print what was found.

    Without options, alerts and dead letters go to querywatch.sqlite.

    Examples:

    querywatch replay queries.ndjson.gz

    querywatch replay "logs/2026-03-*.ndjson.zst" --profile bank.qwp --frozen --alerts alerts.ndjson

    zcat queries.ndjson.gz | querywatch replay - --db march.sqlite
    """
    with reported():
        from detector import edge
        from detector.destinations import replay_outputs
        from detector.replay import replay as run_replay
        from detector.replay import require_a_log

        settings = edge.load_config(config)
        source = edge.open_source(logs, settings)
        for output in (alerts, db):
            if output is not None:
                edge.refuse_overwriting(output, source)
        profiles = edge.load_profiles(settings, profile)
        outputs = replay_outputs(settings, alerts, db, elasticsearch=elasticsearch, page=page)
        with outputs:
            core = edge.settings_of(settings, budget=budget, learn=learn)
            account = run_replay(source, settings, core, profiles, outputs)
        say(account.lines(), err=alerts is not None and str(alerts) == "-")
        require_a_log(account, source)
        if account.interrupted:
            raise typer.Exit(130)


@app.command()
def fit(
    logs: Logs,
    profile: Annotated[Path, typer.Option("--profile", help="Profile file to write.")],
    config: ConfigFile = None,
    budget: Budget = None,
) -> None:
    """Learn from history what normal traffic of each model looks like.

    The history should be benign, as far as is known, and hold at least some hundred sessions a model; the
    more sessions, the smaller the false-alert budget that can be promised.

    Example:

    querywatch fit "logs/2026-02-*.ndjson.gz" --profile bank.qwp
    """
    with reported():
        from detector import edge
        from detector import profile as profiles
        from detector.errors import ProfileError
        from detector.history import fit as fit_history

        settings = edge.load_config(config)
        edge.refuse_overwriting(profile, edge.open_source(logs, settings))
        core = edge.settings_of(settings, budget=budget)
        fitted = fit_history(logs, settings, core)
        say(fitted.lines(core.budget))
        if not fitted.profiles:
            raise ProfileError(f"no model has enough history, {profile} is not written")
        profiles.save(profile, fitted.profiles)
        typer.echo(f"profile       {profile}")


@app.command()
def version() -> None:
    """Print the version."""
    _print_version(True)


def main() -> None:
    """The console entry point."""
    app(prog_name="querywatch")


if __name__ == "__main__":
    sys.exit(main())
