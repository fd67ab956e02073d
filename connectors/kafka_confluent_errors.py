"""Errors of confluent-kafka in the words that `connectors.kafka_connection` has for kafka-python's."""

from __future__ import annotations

import kafka.errors as known
from confluent_kafka import KafkaError

from connectors import kafka_connection
from connectors.kafka_connection import KafkaSettings

_LOCAL: dict[int, type[Exception]] = {
    KafkaError._AUTHENTICATION: known.SaslAuthenticationFailedError,
    KafkaError._ALL_BROKERS_DOWN: known.KafkaConnectionError,
    KafkaError._TRANSPORT: known.KafkaConnectionError,
    KafkaError._RESOLVE: known.KafkaConnectionError,
    KafkaError._TIMED_OUT: known.KafkaTimeoutError,
    KafkaError._WAIT_COORD: known.KafkaTimeoutError,
    KafkaError._NOT_IMPLEMENTED: known.UnsupportedCodecError,
    KafkaError._INVALID_ARG: known.KafkaConfigurationError,
    KafkaError._SSL: OSError,
}
"""Errors of the client itself; those that the broker sends have the same number in both clients."""


def explain(error: KafkaError, settings: KafkaSettings) -> str:
    """One line for a person: what failed, where, what to do. Never holds a secret."""
    code = error.code()
    kind = known.for_code(code) if code > 0 else _LOCAL.get(code, known.KafkaError)
    return kafka_connection.explain(kind(f"{error.name()}: {error.str()}".replace("\n", " ")), settings)
