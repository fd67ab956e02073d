"""Chooses the client that reads the topic: `kafka.client` of the configuration."""

from __future__ import annotations

from connectors.kafka_connection import KafkaSettings
from connectors.kafka_partitions import OnAssigned, OnRevoked, TopicSource
from detector.errors import ConfigError


def source_class(settings: KafkaSettings) -> type[TopicSource]:
    """The source that `kafka.client` names. Raises ConfigError when its package is not installed."""
    if settings.client != "confluent":
        from connectors.kafka import KafkaSource

        return KafkaSource
    try:
        from connectors.kafka_confluent import ConfluentSource
    except ImportError as error:
        raise ConfigError(
            "kafka.client",
            f"'confluent' needs a package that cannot be imported ({error}); install it with: "
            f"pip install 'querywatch[confluent]', or leave this key out",
        ) from error
    return ConfluentSource


def make_source(
    settings: KafkaSettings,
    *,
    on_assigned: OnAssigned,
    on_revoked: OnRevoked = lambda partitions: None,
    future_seconds: float = 86_400.0,
    max_record_bytes: int = 4 * 1024 * 1024,
    metadata_seconds: float = 60.0,
    instance_id: str = "",
) -> TopicSource:
    """A source that is not open yet; the arguments are those of `TopicSource`. Raises ConfigError."""
    return source_class(settings)(
        settings,
        on_assigned=on_assigned,
        on_revoked=on_revoked,
        future_seconds=future_seconds,
        max_record_bytes=max_record_bytes,
        metadata_seconds=metadata_seconds,
        instance_id=instance_id,
    )
