"""Commands of `querywatch` on topics beside the one that is watched; `detector.cli` takes them in."""

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
