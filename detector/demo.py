"""`querywatch demo`: the main job on the sample in examples/, explained step by step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from connectors.file_sinks import NdjsonAlertSink
from connectors.sqlite import SqliteSink
from detector import edge
from detector import profile as profiles
from detector.config import Config
from detector.errors import InputError, UsageError
from detector.history import fit
from detector.outputs import Outputs
from detector.plots import bar, log_scaled, sparkline, value_range
from detector.replay import replay
from detector.terminal import give_up, printable

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
HISTORY, TRACE, TRUTH = "history.ndjson.gz", "trace.ndjson.gz", "truth.json"
WIDTH = 80
BENIGN = "benign"


class TrueSession(msgspec.Struct, frozen=True):
    """What a session of the sample really was."""

    session_id: str
    client_id: str
    model_id: str
    kind: str
    family: str
    queries: int


class Truth(msgspec.Struct, frozen=True):
    """The truth about the sample; `sources` says how each kind of attack was made."""

    sessions: list[TrueSession]
    history_sessions: int = 0
    history_queries: int = 0
    sources: dict[str, str] = {}


@dataclass(slots=True)
class Comparison:
    """Attack sessions found and missed, and benign sessions that alerted."""

    found: list[TrueSession]
    missed: list[TrueSession]
    false_alerts: list[TrueSession]


def read_truth(path: Path) -> Truth:
    """Raises InputError when the file is not there or not such a file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Truth)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: cannot be read as the truth about a sample ({error})") from error


def compare(truth: Truth, alerts: list[dict[str, Any]]) -> Comparison:
    """Which sessions alerted, or were under way when their client did, against what they really were."""
    alerted = {
        (client, a["querywatch"].get("session", {}).get("id"))
        for a in alerts
        for client in a["related"]["user"]
    }
    result = Comparison([], [], [])
    for session in truth.sessions:
        hit = (session.client_id, session.session_id) in alerted
        if session.family != BENIGN:
            (result.found if hit else result.missed).append(session)
        elif hit:
            result.false_alerts.append(session)
    return result


def run_demo(output: Path, examples: Path = EXAMPLES) -> bool:
    """Fit, replay, show, compare; files go to `output`. True when exactly the attacks were found."""
    for name in (HISTORY, TRACE, TRUTH):
        if not (examples / name).is_file():
            raise InputError(
                f"{examples / name} is missing: the demo needs the sample of the source checkout; "
                f"run it there with scripts/demo"
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{output}: cannot be made ({error.strerror}); choose another --output") from error
    console = _Console(width=WIDTH, highlight=False)
    truth = read_truth(examples / TRUTH)
    _show_traffic(console, truth)

    config = Config()
    history, trace = examples / HISTORY, examples / TRACE
    profile_file, alert_file, database = (
        output / "profile.qwp",
        output / "alerts.ndjson",
        output / "alerts.sqlite",
    )
    _step(console, 2, "Learn what is normal", f"querywatch fit {history.name} --profile {profile_file}")
    settings = edge.settings_of(config, learn=False)
    fitted = fit([str(history)], config, settings)
    for line in fitted.lines(settings.budget):
        console.print(printable(line), markup=False)
    profiles.save(profile_file, fitted.profiles)

    _step(
        console,
        3,
        "Replay the trace",
        f"querywatch replay {trace.name} --profile {profile_file} --frozen",
        f"  --alerts {alert_file} --db {database}",
    )
    database.unlink(missing_ok=True)
    sink = SqliteSink(database)
    with Outputs([NdjsonAlertSink(str(alert_file)), sink], [sink]) as outputs:
        source = edge.open_source([trace], config)
        account = replay(source, config, settings, profiles.load(profile_file), outputs)
    for line in account.lines():
        console.print(printable(line), markup=False)

    documents = [msgspec.json.decode(line) for line in alert_file.read_bytes().splitlines()]
    alerts = [document for document in documents if document["event"]["kind"] == "alert"]
    _step(console, 4, "What the SOC sees")
    for number, alert in enumerate(alerts, 1):
        _show_alert(console, number, len(alerts), alert)

    result = compare(truth, alerts)
    _show_comparison(console, truth, result)
    _step(console, 6, "The files")
    for what, path in (("profile ", profile_file), ("alerts  ", alert_file), ("database", database)):
        console.print(printable(f"{what} {path}"), markup=False)
    sample = printable(f"sample   {examples} (README.md there tells its provenance)")
    console.print(sample, markup=False, soft_wrap=True)
    return not result.missed and not result.false_alerts


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """End quietly: the code of a missed attack is not for a reader that has left."""
        raise typer.Exit(give_up(BrokenPipeError()))


def _step(console: Console, number: int, title: str, *command: str) -> None:
    console.print()
    characters = "─" if console.encoding.startswith("utf") else "-"
    console.rule(f"[bold]{number}. {title}[/bold]", align="left", characters=characters)
    if command:
        lines = "\n".join(map(printable, command))
        console.print(f"$ {lines}\n", style="dim", markup=False, soft_wrap=True)


def _show_traffic(console: Console, truth: Truth) -> None:
    _step(console, 1, "The traffic")
    kinds = Counter((s.family, s.kind) for s in truth.sessions)
    queries: Counter[tuple[str, str]] = Counter()
    for session in truth.sessions:
        queries[(session.family, session.kind)] += session.queries
    models = sorted({s.model_id for s in truth.sessions})
    console.print(
        f"The query log of real models ({', '.join(models)}), asked by simulated clients and by published "
        f"attack tools. The history to learn from is benign: {truth.history_sessions:,} sessions, "
        f"{truth.history_queries:,} queries. The trace holds:\n"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("family")
    table.add_column("kind")
    table.add_column("sessions", justify="right")
    table.add_column("queries", justify="right")
    for key in sorted(kinds, key=lambda k: (k[0] != BENIGN, k)):
        family, kind = (text.replace("_", " ") for text in key)
        style = None if key[0] == BENIGN else "bold"
        table.add_row(family, kind, str(kinds[key]), f"{queries[key]:,}", style=style)
    console.print(table)


def _show_alert(console: Console, number: int, count: int, alert: dict[str, Any]) -> None:
    ours, event = alert["querywatch"], alert["event"]
    technique = alert["threat"]["technique"]
    named = technique.get("subtechnique", technique)
    console.print()
    console.print(f"Alert {number} of {count}: {alert['message']}", style="bold", markup=False)
    console.print(
        f"{alert['@timestamp']}  severity {event['severity']}  risk {event['risk_score']:g}  "
        f"{named['id'][0]} {named['name'][0]}",
        markup=False,
    )
    entity = ours["entity"]
    console.print(
        f"client {', '.join(alert['related']['user'][:3])} on {alert['service']['name']}, {entity['kind']} "
        f"{entity['id']}, after {ours[entity['kind']]['queries']} queries",
        markup=False,
    )
    console.print(event["reason"], style="italic", markup=False)
    for name in ("confidence", "distance"):
        series = ours["evidence"]["series"][name]
        plotted = log_scaled(series) if name == "distance" else series
        console.print(f"  {name:<11}{sparkline(plotted)}", markup=False, soft_wrap=True)
        console.print(
            f"             {value_range(series)}{', log scale' if plotted is not series else ''}",
            style="dim",
            markup=False,
        )
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("  feature")
    for heading in ("value", "normal", "99th pct."):
        table.add_column(heading, justify="right")
    table.add_column("share of the evidence")
    for feature in ours["evidence"]["features"]:
        table.add_row(
            "  " + feature["name"].replace("_", " "),
            *(f"{feature[key]:.3g}" for key in ("value", "normal_median", "normal_p99")),
            f"{bar(feature['contribution'], 16)} {100 * feature['contribution']:.0f}%",
        )
    console.print(table)


def _show_comparison(console: Console, truth: Truth, result: Comparison) -> None:
    _step(console, 5, "Compared with the truth")
    attacks = len(result.found) + len(result.missed)
    benign = len(truth.sessions) - attacks
    console.print(f"found {len(result.found)} of {attacks} attack sessions")
    for session in result.missed:
        console.print(f"  missed: {session.family}, {session.kind}, {session.queries} queries", markup=False)
    console.print(f"{len(result.false_alerts)} alerts on {benign} benign sessions")
    for session in result.false_alerts:
        console.print(f"  false: {session.kind}, {session.queries} queries", markup=False)
