"""Which sinks a command writes to, from its options and the configuration."""

from __future__ import annotations

from pathlib import Path

from connectors.base import AlertSink, DeadLetterSink
from connectors.file_sinks import STDOUT, NdjsonAlertSink, NdjsonDeadLetterSink
from connectors.sqlite import SqliteSink
from detector.config import Config
from detector.errors import ConfigError
from detector.outputs import Outputs

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

        if not config.elasticsearch.hosts:
            raise ConfigError(
                "elasticsearch.hosts", "is empty; name a cluster, such as https://localhost:9200"
            )
        alert_sinks.append(ElasticsearchSink(config.elasticsearch, replay=True, page=page))
    return Outputs(alert_sinks, letter_sinks)


def service_outputs(config: Config) -> Outputs:
    """Elasticsearch where hosts are configured, else the database; dead letters to their topic, or there."""
    database = SqliteSink(config.sqlite.path)
    alert_sink: AlertSink = database
    letter_sink: DeadLetterSink = database
    if config.elasticsearch.hosts:
        from connectors.elasticsearch import ElasticsearchSink

        alert_sink = ElasticsearchSink(config.elasticsearch, retry_seconds=RETRY_SECONDS)
    if config.kafka.dead_letter_topic:
        from connectors.kafka_dead_letters import KafkaDeadLetterSink

        letter_sink = KafkaDeadLetterSink(config.kafka)
    return Outputs([alert_sink], [letter_sink])
