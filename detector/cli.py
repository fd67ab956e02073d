"""The command line: `querywatch COMMAND`. Each command's work is in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detector import __version__, cli_topics, terminal
from detector.cli_topics import ConfigFile
from detector.collector import calm_collector
from detector.interrupt import reload_held
from detector.terminal import reported, say

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
    typer.Argument(metavar="LOG...", help="Query logs: files (.gz, .zst), patterns, - for standard input."),
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


def _print_version(wanted: bool) -> None:
    if wanted:
        say([f"querywatch {__version__}"])
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
    one_pass: Annotated[
        bool, typer.Option("--one-pass", help="Without a profile: judge while reading, as the service does.")
    ] = False,
) -> None:
    """Read query logs to the end and print what was found.

    Without a profile, files are read twice more before: what is normal is learned from them first, leaving
    out what looks like an attack. Without options, alerts and dead letters go to querywatch.sqlite.

    Examples:

    querywatch replay queries.ndjson.gz

    querywatch replay "logs/2026-03-*.ndjson.zst" --profile bank.qwp --frozen --alerts alerts.ndjson

    zcat queries.ndjson.gz | querywatch replay - --db march.sqlite
    """
    with reported():
        from detector import edge
        from detector.destinations import replay_files, replay_outputs
        from detector.errors import UsageError
        from detector.history import of_these_logs
        from detector.replay import replay as run_replay
        from detector.replay import require_a_log

        if page and not elasticsearch:
            raise UsageError("--page is for alerts in Elasticsearch; add --elasticsearch, or leave it out")
        settings = edge.load_config(config)
        source = edge.open_source(logs, settings)
        judge = profile or (Path(settings.detection.profile) if settings.detection.profile else None)
        edge.refuse_overwriting(replay_files(settings, alerts, db), source, config=config, profile=judge)
        profiles = edge.load_profiles(settings, profile)
        outputs = replay_outputs(settings, alerts, db, elasticsearch=elasticsearch, page=page)
        with outputs:
            core = edge.settings_of(settings, budget=budget, learn=learn)
            own = of_these_logs(logs, settings, core) if judge is None and not one_pass else {}
            account = run_replay(source, settings, core, own or profiles, outputs, learned=bool(own))
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
        edge.refuse_overwriting([profile], edge.open_source(logs, settings), config=config)
        profiles.refuse_unwritable(profile)
        core = edge.settings_of(settings, budget=budget)
        fitted = fit_history(logs, settings, core)
        say(fitted.lines(core.budget))
        if not fitted.profiles:
            raise ProfileError(f"no model has enough history, {profile} is not written")
        profiles.save(profile, fitted.profiles)
        say([f"profile       {profile}"])


@app.command()
def run(
    config: ConfigFile = None,
    profile: ProfileFile = None,
    budget: Budget = None,
    learn: Learn = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at the end that the topic has at the start.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Processes that share the partitions.")
    ] = 1,
    worker: Annotated[int, typer.Option("--worker", hidden=True)] = 0,
) -> None:
    """Read the query log from Kafka and alert as it comes: the service.

    It stops at SIGTERM or Ctrl-C, and goes on at the next start where it stopped. SIGHUP makes it read its
    configuration again. With several workers, one that fails ends them all, with its exit code.

    Example:

    querywatch init querywatch.toml, edit it, querywatch check --config querywatch.toml, then:

    querywatch run --config querywatch.toml
    """
    with reported(f"querywatch, worker {worker}" if worker else "querywatch"), reload_held():
        from detector import edge, logs
        from detector.config import Config
        from detector.reload import with_budget

        def read() -> Config:
            return with_budget(edge.load_config(config), budget)

        settings = read()
        logs.configure(worker=worker)
        if workers > 1:
            from detector.workers import run_workers

            options = ["--until-end"] if until_end else []
            options += ["--config", str(config)] if config else []
            options += ["--profile", str(profile)] if profile else []
            options += ["--budget", repr(budget)] if budget is not None else []
            options += [] if learn is None else ["--learn" if learn else "--frozen"]
            raise typer.Exit(run_workers(workers, settings, options))
        from detector.live import run as run_service

        core = edge.settings_of(settings, learn=learn)
        profiles = edge.load_profiles(settings, profile)
        run_service(settings, core, profiles, read=read, until_end=until_end, worker=worker)


app.command()(cli_topics.rekey)
app.command()(cli_topics.resend)


@app.command()
def check(config: ConfigFile = None) -> None:
    """See whether everything that the configuration names can be reached and used.

    Example:

    querywatch check --config querywatch.toml
    """
    with reported():
        from detector.reachability import checks

        failed = False
        for found in checks(config):
            say([found.line()])
            failed |= not found.ok
        if failed:
            raise typer.Exit(2)


@app.command()
def init(
    file: Annotated[Path | None, typer.Argument(help="File to write; standard output without.")] = None,
) -> None:
    """Write a commented configuration with every option there is.

    Example:

    querywatch init querywatch.toml
    """
    with reported():
        from detector.errors import UsageError
        from detector.starter_config import starter_config

        if file is None:
            say(starter_config().splitlines())
            return
        try:
            with file.open("x", encoding="utf-8") as new:
                new.write(starter_config())
        except FileExistsError as error:
            raise UsageError(f"{file} exists and is not overwritten; name another file") from error
        except OSError as error:
            raise UsageError(f"{file}: cannot be written ({error.strerror})") from error
        say([f"{file} is written; edit it, then: querywatch check --config {file}"])


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", help="Directory for the files.")] = Path(
        "querywatch-demo"
    ),
) -> None:
    """Show the whole job on the sample in examples/, step by step.

    Exit code 1 if an attack was missed or a benign session alerted.
    """
    with reported():
        from detector.demo import run_demo

        if not run_demo(output):
            raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    _print_version(True)


def main() -> None:
    """The command line as a program; `detector.__main__` calls it."""
    terminal.prepare()
    calm_collector()
    try:
        app(prog_name="querywatch")
    except OSError as error:
        raise SystemExit(terminal.give_up(error)) from error
