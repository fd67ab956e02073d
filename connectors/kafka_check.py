"""`querywatch check` of Kafka: the topic, and whether its group would take this member."""

from __future__ import annotations

from kafka import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError, KafkaError

from connectors.kafka_connection import (
    ASSIGNORS,
    KafkaSettings,
    connect,
    explain,
    other_protocol,
    partitions_of,
)
from detector.errors import SourceError


def check(settings: KafkaSettings) -> str:
    """Connect, look at topic and group, and say in a sentence what is there. Raises SourceError with what to
    do."""
    partitions = partitions_of(settings)
    assignor = _assignor_of_group(settings)
    if assignor and assignor not in ASSIGNORS[settings.rebalance]:
        raise SourceError(other_protocol(settings, assignor))
    count = f"{len(partitions)} partition{'s' if len(partitions) != 1 else ''}"
    return f"Kafka at {', '.join(settings.bootstrap_servers)}: topic {settings.topic!r} has {count}"


def _assignor_of_group(settings: KafkaSettings) -> str:
    """How the members of the group share partitions out; empty while it has none, or is about to."""
    admin = connect(KafkaAdminClient, settings)
    try:
        found = admin.describe_groups([settings.group_id])[settings.group_id]
    except CoordinatorNotAvailableError:  # of a cluster that has had no group yet
        return ""
    except KafkaError as error:
        raise SourceError(explain(error, settings)) from error
    finally:
        admin.close()
    return str(found["protocol_data"])
