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

        _require_hosts(config)
        alert_sinks.append(ElasticsearchSink(config.elasticsearch, replay=True, page=page))
    return Outputs(alert_sinks, letter_sinks)


def service_outputs(config: Config) -> Outputs:
    """The places for alerts; dead letters to their topic, or to the database. Raises ConfigError."""
    database = SqliteSink(config.sqlite.path)
    letter_sink: DeadLetterSink = database
    names = places(config)
    optional = config.sinks.optional
    if astray := [name for name in optional if name not in names]:
        raise ConfigError("sinks.optional", f"names {', '.join(astray)}, where no alerts go")
    if set(optional) >= set(names):
        raise ConfigError("sinks.optional", "leaves no place that must have every alert")
    alert_sinks = [database if name == "sqlite" else remote_sink(config, name) for name in names]
    if config.kafka.dead_letter_topic:
        from connectors.kafka_dead_letters import KafkaDeadLetterSink

        letter_sink = KafkaDeadLetterSink(config.kafka)
    return Outputs(alert_sinks, [letter_sink], optional)


def places(config: Config) -> tuple[str, ...]:
    """The places that `sinks.alerts` names, each once; by default Elasticsearch where it has hosts, else the
    database, and the webhook where it has a url: that forgets what it was told."""
    default = ["elasticsearch" if config.elasticsearch.hosts else "sqlite"]
    default += ["webhook"] if config.webhook.url else []
    return tuple(dict.fromkeys(config.sinks.alerts or default))


def resend_sinks(config: Config) -> dict[str, AlertSink]:
    """The sinks that alerts among the dead letters can be for, by the names that those carry."""
    sinks: list[AlertSink] = [SqliteSink(config.sqlite.path)]
    if config.elasticsearch.hosts:
        from connectors.elasticsearch import ElasticsearchSink

        own = config.elasticsearch
        sinks += [ElasticsearchSink(own, replay=replay, never_twice=True) for replay in (False, True)]
    if config.webhook.url:
        sinks.append(remote_sink(config, "webhook"))
    return {sink.name: sink for sink in sinks}


def remote_sink(config: Config, name: str) -> AlertSink:
    """The service's sink of live alerts in Elasticsearch or at the webhook. Raises ConfigError where no
    address is configured, SinkNotReady for a webhook's settings that cannot be right."""
    if name == "webhook":
        from connectors.webhook import WebhookSink

        if not config.webhook.url:
            raise ConfigError("webhook.url", "is empty; name an address, such as https://soar.example/hook")
        return WebhookSink(config.webhook)
    from connectors.elasticsearch import ElasticsearchSink

    _require_hosts(config)
    return ElasticsearchSink(config.elasticsearch, retry_seconds=RETRY_SECONDS)


def _require_hosts(config: Config) -> None:
    if not config.elasticsearch.hosts:
        raise ConfigError("elasticsearch.hosts", "is empty; name a cluster, such as https://localhost:9200")
