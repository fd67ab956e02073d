"""`python -m benchmarks.faults`: every fault, and an account of what it did to alerts and saved states."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.faults import churn, damage, fuzz, kills, members, outages, releases, topics, webhook
from benchmarks.faults.account import Account
from benchmarks.faults.log import make_queries
from benchmarks.faults.site import Site, command
from connectors.kafka_connection import ASSIGNORS
from tests import traffic
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

SERVED = (
    *("kills", "rollover", "damage", "broker", "elasticsearch", "cluster", "disk", "webhook"),
    *("topics", "members"),
)
"""Parts that need the servers."""
PARTS = (*SERVED, "fuzz", "churn")
RELEASE = "release"
"""One more part, which needs a checkout of another release."""
CHURN_MEGABYTES = (1024, 64)
"""Bounds of the session state: one that holds every session that is alive, and one that evicts."""

Client = Literal["kafka-python", "confluent"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    records: Annotated[int, typer.Option(min=5000, help="Records of the log.")] = 200_000,
    kill_moments: Annotated[int, typer.Option("--kills", min=1, help="Random moments of kill -9.")] = 25,
    sessions: Annotated[int, typer.Option(min=10_000, help="Sessions of the churn.")] = 2_000_000,
    fuzzed: Annotated[int, typer.Option(min=10_000, help="Records of the fuzzing.")] = 1_000_000,
    only: Annotated[str, typer.Option(help=f"Parts, by comma; all are: {','.join(PARTS)}")] = ",".join(PARTS),
    seed: Annotated[int, typer.Option(help="Of the log and of the moments.")] = 1,
    client: Annotated[Client, typer.Option(help="Reads the topic, as kafka.client.")] = "kafka-python",
    learn: Annotated[bool, typer.Option("--learn", help="No profile but what it learns as it goes.")] = False,
    large: Annotated[bool, typer.Option("--large", help="Sessions that never end: large states.")] = False,
    before: Annotated[
        Path | None, typer.Option(help="A checkout of another release; upgrade and rollback, part `release`.")
    ] = None,
) -> None:
    """Break everything that can break, one after the other; exit code 1 if anything differs."""
    wanted = only.split(",")
    unknown = set(wanted) - {*PARTS, RELEASE}
    if unknown:
        raise typer.BadParameter(f"no such part: {', '.join(sorted(unknown))}")
    if (before is None) == (RELEASE in wanted):
        raise typer.BadParameter("--before belongs to the part release")
    well = True
    with tempfile.TemporaryDirectory(prefix="querywatch-faults-") as name, ExitStack() as servers:
        folder = Path(name)
        parts: Iterator[Callable[[], Account]] = iter(())
        if set(wanted) & {*SERVED, RELEASE}:
            kafka, node = servers.enter_context(KafkaServer()), servers.enter_context(ElasticsearchServer())
            site = Site(folder, kafka, node, client=client, learn=learn, endless=large)
            parts = _with_servers(site, wanted, records, kill_moments, seed, before)
        for part in chain(parts, _of_the_core(folder, wanted, sessions, fuzzed, seed)):
            began = time.monotonic()
            try:
                account = part()
            except RuntimeError as error:
                account = Account("a part that did not come to its end", problems=[str(error)])
            for line in account.lines():
                typer.echo(line)
            typer.echo(f"          {time.monotonic() - began:.0f} s")
            sys.stdout.flush()
            well &= account.well
    typer.echo("everything is equal" if well else "SOMETHING DIFFERS")
    raise typer.Exit(0 if well else 1)


def _of_the_core(
    folder: Path, wanted: list[str], sessions: int, fuzzed: int, seed: int
) -> Iterator[Callable[[], Account]]:
    profile = folder / "core.qwp"
    if {"fuzz", "churn"} & set(wanted):
        traffic.write(folder / "core.ndjson", traffic.benign(300, seed=1))
        command(folder, "fit", "core.ndjson", "--profile", str(profile))
    if "fuzz" in wanted:
        yield partial(fuzz.fuzz, profile, fuzzed, seed)
    if "churn" in wanted:
        for megabytes in CHURN_MEGABYTES:
            yield partial(churn.churn, profile, sessions, megabytes)


def _with_servers(
    site: Site, wanted: list[str], records: int, kill_moments: int, seed: int, before: Path | None
) -> Iterator[Callable[[], Account]]:
    queries = make_queries(records, seed, per_session=2 if site.endless else 16)
    topic = site.topic(queries)
    calm = site.detector(topic)
    calm.undisturbed()
    judged = "learning as it goes" if site.learn else "with a profile that stays as it is"
    pieces = len(list(calm.state.glob("*.rows-*")))
    typer.echo(f"{site.client}, {judged}; states are saved in {pieces or 'no'} pieces")
    typer.echo(f"{len(queries):,} records in {site.ends(topic)}, {len(calm.alerts())} alerts and updates")
    # Without a profile the first tens of thousands of records only teach.
    short = queries if site.learn else queries[: max(5000, len(queries) // 5)]
    table: dict[str, list[Callable[[], Account]]] = {
        "kills": [
            lambda: kills.kill_at_random_moments(site, topic, calm, kill_moments, roll_over=False, seed=seed)
        ],
        "rollover": [
            lambda: kills.kill_at_random_moments(
                site, topic, calm, max(1, kill_moments // 3), roll_over=True, seed=seed + 1
            )
        ],
        "damage": [lambda: damage.damaged_states(site, topic, calm, seed)],
        "broker": [lambda: outages.broker_stops(site, topic, calm)],
        "elasticsearch": [lambda: outages.elasticsearch_stops(site, topic, calm)],
        "cluster": [lambda: outages.faulty_cluster(site, topic, calm)],
        "disk": [lambda: outages.full_disk(site, topic, calm)],
        "webhook": [
            lambda: webhook.dead_webhook(site, topic, calm),
            lambda: webhook.full_queue(site, topic, calm),
            lambda: webhook.faulty_webhook(site, topic, calm),
        ],
        "topics": [
            lambda: topics.recreated(site, short, while_it_runs=False),
            lambda: topics.recreated(site, short, while_it_runs=True),
            lambda: topics.partitions_added(site, short),
            lambda: topics.gone_by_retention(site, short),
        ],
        "members": [partial(members.join_and_leave, site, short, rebalance) for rebalance in ASSIGNORS],
    }
    for name in wanted:
        yield from table.get(name, [])
    if before is not None:
        yield partial(releases.up_and_back, site, queries, calm, before.resolve())


if __name__ == "__main__":
    app()
