"""Commands of `querywatch` on other topics and on dead letters; `detector.cli` takes them in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from detector.terminal import reported, say

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration; `querywatch init` writes one.")
]


def rekey(
    source: Annotated[str, typer.Argument(metavar="TOPIC", help="Topic to read; it stays as it is.")],
    config: ConfigFile = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at the end that the topic has at the start.")
    ] = False,
) -> None:
    """Copy a topic to `kafka.topic`, keyed by client, for producers that do not key by client.

    The detector follows a client within one partition of kafka.topic. Where
    the records of one client are spread over partitions, sessions fall apart
    and attacks are missed. This command reads such a TOPIC and writes every
    record, unchanged, under its client_id to kafka.topic, which must be there
    already. It goes on until SIGTERM or Ctrl-C: leave it running beside the
    detector, one process for a TOPIC.

    Each record is copied exactly once, whatever happens in between (kill -9,
    a broker that is away): records and the position in TOPIC are one Kafka
    transaction. Records in which no client can be read are copied without a
    key, so that the detector makes dead letters of them. Partitions are
    merged by the broker's timestamps. The first start begins where
    kafka.start says, every later one where the last stopped.

    Example, with `topic = "queries-by-client"` in the configuration:

    kafka-topics.sh --bootstrap-server localhost:9092 --create \\
    --topic queries-by-client --partitions 4

    querywatch rekey model-queries --config querywatch.toml

    querywatch run --config querywatch.toml
    """
    with reported():
        from detector import edge, logs
        from detector.rekey import rekey as run_rekey

        settings = edge.load_config(config)
        logs.configure()
        copied, unkeyed = run_rekey(settings, source, until_end=until_end)
        said = f", {unkeyed:,} of them without a key, since no client can be read in them" if unkeyed else ""
        say([f"{copied:,} records copied from {source} to {settings.kafka.topic}{said}"])


def resend(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...", help="Databases and dead-letter files; default: the configured place."
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Send alerts again that a sink did not take: after Elasticsearch is mended.

    An alert that a sink refused for its content (rejected_by_sink), or that was
    given up because the sink was down for too long (sink_down), is kept whole
    among the dead letters: in kafka.dead_letter_topic, else in the database
    sqlite.path. This command reads them there, or in FILEs (databases, and the
    *.dead-letters.ndjson of a replay), and writes each alert to the sink that it
    was for. What is stored already is left out, in whichever backing index it
    is, so the command can be given again at any time, also while the service
    runs. Alerts of a replay go to the namespace replay and page nobody. Dead
    letters stay where they are.

    Exit code 1 if some are refused again, or are for a sink that is not
    configured.

    Example:

    querywatch resend --config querywatch.toml
    """
    with reported():
        from detector import edge
        from detector.resend import resend as run_resend

        account = run_resend(edge.load_config(config), files or [])
        say(account.lines())
        if not account.well:
            raise typer.Exit(1)
