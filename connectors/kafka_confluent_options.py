"""How confluent-kafka is told where and as whom to connect."""

from __future__ import annotations

from typing import Any

from connectors.kafka_connection import REQUEST_SECONDS, KafkaSettings
from connectors.kafka_security import OAUTH, TokenFile


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Where and as whom to connect, in librdkafka's words."""
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "client.id": "querywatch",
        "security.protocol": settings.security_protocol,
        "reconnect.backoff.max.ms": 5_000,
        "socket.timeout.ms": int(REQUEST_SECONDS * 1000),
    }
    if settings.ca_file:
        options["ssl.ca.location"] = settings.ca_file
    if settings.certificate_file:
        options["ssl.certificate.location"] = settings.certificate_file
        options["ssl.key.location"] = settings.key_file or settings.certificate_file
    if settings.key_password:
        options["ssl.key.password"] = settings.key_password
    if settings.sasl_mechanism:
        options["sasl.mechanism"] = settings.sasl_mechanism
    if settings.sasl_mechanism == OAUTH:
        options["oauth_cb"] = TokenFile(settings).for_librdkafka
    elif settings.sasl_mechanism:
        options["sasl.username"] = settings.username
        options["sasl.password"] = settings.password
    return options
