"""Which sinks a command writes to, from its options and the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from connectors.base import AlertSink, DeadLetterSink
from connectors.file_sinks import STDOUT, NdjsonAlertSink, NdjsonDeadLetterSink
from connectors.sqlite import SqliteSink
from detector.config import Config
from detector.errors import ConfigError
from detector.outputs import Outputs

if TYPE_CHECKING:
    from connectors.elasticsearch import ElasticsearchSink

DEAD_LETTERS_OF_STDOUT = "querywatch.dead-letters.ndjson"
RETRY_SECONDS = 2.0
"""How long Elasticsearch's own repeats of one write may take; the service repeats after that."""


def beside(alerts: Path) -> Path:
    """The dead-letter file that belongs to an alert file."""
    if str(alerts) == STDOUT:
        return Path(DEAD_LETTERS_OF_STDOUT)
    return alerts.with_name(f"{alerts.stem}.dead-letters.ndjson")


def replay_files(config: Config, alerts: Path | None, db: Path | None) -> list[Path]:
    """The files that the outputs of `replay_outputs` write."""
    if alerts is None:
        return [db or Path(config.sqlite.path)]
    return [alerts, db or beside(alerts)]


def replay_outputs(
    config: Config, alerts: Path | None, db: Path | None, *, elasticsearch: bool = False, page: bool = False
) -> Outputs:
    """The alert file, the database, or both; the configured database when neither is named."""
    alert_sinks: list[AlertSink] = []
    letter_sinks: list[DeadLetterSink] = []
    if alerts is not None:
        alert_sinks.append(NdjsonAlertSink(str(alerts)))
        letter_sinks.append(NdjsonDeadLetterSink(str(beside(alerts))))
    if db is not None or alerts is None:
        database = SqliteSink(db or config.sqlite.path)
        alert_sinks.append(database)
        letter_sinks = [database]
    if elasticsearch:
        from connectors.elasticsearch import ElasticsearchSink

        _require_hosts(config)
        alert_sinks.append(ElasticsearchSink(config.elasticsearch, replay=True, page=page))
    return Outputs(alert_sinks, letter_sinks)


def service_outputs(config: Config) -> Outputs:
    """The places that `sinks.alerts` names, by default Elasticsearch where hosts are configured, else the
    database; dead letters to their topic, or to the database. Raises ConfigError."""
    database = SqliteSink(config.sqlite.path)
    letter_sink: DeadLetterSink = database
    names = config.sinks.alerts or (("elasticsearch",) if config.elasticsearch.hosts else ("sqlite",))
    alert_sinks: list[AlertSink] = [
        database if name == "sqlite" else elasticsearch_sink(config) for name in dict.fromkeys(names)
    ]
    if config.kafka.dead_letter_topic:
        from connectors.kafka_dead_letters import KafkaDeadLetterSink

        letter_sink = KafkaDeadLetterSink(config.kafka)
    return Outputs(alert_sinks, [letter_sink])


def resend_sinks(config: Config) -> dict[str, AlertSink]:
    """The sinks that alerts among the dead letters can be for, by the names that those carry."""
    sinks: list[AlertSink] = [SqliteSink(config.sqlite.path)]
    if config.elasticsearch.hosts:
        from connectors.elasticsearch import ElasticsearchSink

        own = config.elasticsearch
        sinks += [ElasticsearchSink(own, replay=replay, never_twice=True) for replay in (False, True)]
    return {sink.name: sink for sink in sinks}


def elasticsearch_sink(config: Config) -> ElasticsearchSink:
    """The service's sink of live alerts. Raises ConfigError without hosts."""
    from connectors.elasticsearch import ElasticsearchSink

    _require_hosts(config)
    return ElasticsearchSink(config.elasticsearch, retry_seconds=RETRY_SECONDS)


def _require_hosts(config: Config) -> None:
    if not config.elasticsearch.hosts:
        raise ConfigError("elasticsearch.hosts", "is empty; name a cluster, such as https://localhost:9200")
