"""How querywatch reaches a Kafka cluster: settings, client options, errors in one clear line.

The only file that knows the options of kafka-python; `connectors.kafka` reads with them and
`connectors.kafka_dead_letters` writes. The texts of errors serve `connectors.kafka_confluent` too.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from kafka import KafkaConsumer
from kafka.errors import (
    AuthorizationError,
    InconsistentGroupProtocolError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
)
from kafka.net import transport
from kafka.net.compat import KafkaNetClient
from kafka.net.transport import KafkaTCPTransport

from connectors.client_certificate import refused_certificate
from connectors.kafka_security import (
    OAUTH,
    SecuritySettings,
    TokenFile,
    refuse_contradictions,
    refuse_silence,
    stop_at_refusals,
    tls_context,
    uses_tls,
)
from detector.errors import SourceError

BOOTSTRAP_SECONDS = 8.0
"""How long a start waits for the first broker."""

REQUEST_SECONDS = 10.0
"""How long one question to the cluster (offsets, commit, metadata) may take."""


HEARTBEAT_SECONDS = 1.0
"""A member hears of a rebalance by its next heartbeat, and a cooperative rebalance takes two rounds."""

ASSIGNORS = {"cooperative": ("cooperative-sticky",), "eager": ("range", "roundrobin")}
"""By `kafka.rebalance`, under the names that both clients have."""


class KafkaSettings(SecuritySettings, Protocol):
    """What the Kafka connectors read of the configuration (section `kafka`)."""

    @property
    def topic(self) -> str: ...
    @property
    def group_id(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def rebalance(self) -> str: ...
    @property
    def start(self) -> str: ...
    @property
    def dead_letter_topic(self) -> str: ...


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Options that consumer, producer and admin client share: where and as whom to connect."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": "querywatch",
        "security_protocol": settings.security_protocol,
        "bootstrap_timeout_ms": int(BOOTSTRAP_SECONDS * 1000),
        "reconnect_backoff_max_ms": 5_000,
    }
    if uses_tls(settings):
        options["ssl_context"] = tls_context(settings)
    if settings.sasl_mechanism:
        options["sasl_mechanism"] = settings.sasl_mechanism
    if settings.sasl_mechanism == OAUTH:
        options["sasl_oauth_token_provider"] = TokenFile(settings)
    elif settings.sasl_mechanism:
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password
    return options


def _worth_telling(record: logging.LogRecord) -> bool:
    """Not what a connection says that the client itself has closed: it reads once more, and tells with a
    traceback that there is no socket any more."""
    about = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return not (isinstance(about, KafkaTCPTransport) and about.is_closing() and record.exc_info)


logging.getLogger(transport.__name__).addFilter(_worth_telling)


def connect(make: Callable[..., Any], settings: KafkaSettings, **options: Any) -> Any:
    """Build a client of kafka-python, connected. Raises SourceError in one clear line.

    A constructor that fails leaves its network thread and sockets behind, so the network client is
    caught on its way in and closed.
    """
    network: list[Any] = []
    started: list[Callable[[], None]] = []

    def make_network(**config: Any) -> Any:
        network.append(KafkaNetClient(**config))
        started.append(stop_at_refusals(network[-1], settings))
        return network[-1]

    # What the client logs while it tries ends up in the one line that is raised.
    library = logging.getLogger("kafka")
    level = library.level
    library.setLevel(logging.CRITICAL)
    try:
        refuse_contradictions(settings)
        shared = client_options(settings)
        refuse_silence(settings)
        client = make(**shared, kafka_client=make_network, **options)
    except (KafkaError, OSError, ValueError, AssertionError, SourceError) as error:
        for half_made in network:
            half_made.close()
        if isinstance(error, SourceError):
            raise
        raise SourceError(explain(error, settings)) from error
    finally:
        library.setLevel(level)
    for go_on in started:
        go_on()
    return client


def explain(error: BaseException, settings: KafkaSettings) -> str:
    """One line for a person: what failed, where, what to do. Never holds a secret."""
    servers = ", ".join(settings.bootstrap_servers)
    if isinstance(error, SaslAuthenticationFailedError):
        if settings.sasl_mechanism == OAUTH:
            return f"Kafka at {servers} refuses the token in {settings.oauth_token_file}; renew it"
        return (
            f"Kafka at {servers} refuses the credentials of user {settings.username!r}; "
            f"check kafka.username, kafka.password and kafka.sasl_mechanism"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"Kafka at {servers} does not take kafka.sasl_mechanism {settings.sasl_mechanism}"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return (
            f"the certificate of Kafka at {servers} is not accepted: {why}; check that kafka.ca_file is "
            f"the authority that signed it and that kafka.bootstrap_servers has its names"
        )
    if refused := refused_certificate(error, settings, "kafka"):
        return f"Kafka at {servers} {refused}"
    if isinstance(error, ssl.SSLError) and error.filename is None:
        return (
            f"Kafka at {servers} does not complete a TLS handshake ({error.reason or error}); check the "
            f"port, and that kafka.security_protocol ({settings.security_protocol}) is what it speaks there"
        )
    if isinstance(error, AuthorizationError):
        return (
            f"Kafka at {servers} does not allow this user to do that ({type(error).__name__}); "
            f"grant Read and Describe on topic {settings.topic!r} and Read on group {settings.group_id!r}"
        )
    if isinstance(error, UnknownTopicOrPartitionError):
        return missing_topic(settings.topic, settings)
    if isinstance(error, InconsistentGroupProtocolError):
        return other_protocol(settings)
    if isinstance(error, KafkaConnectionError):
        return (
            f"no Kafka broker answers at {servers} ({error}); check that it runs and that "
            f"kafka.bootstrap_servers is right"
        )
    if isinstance(error, KafkaTimeoutError):
        return (
            f"Kafka at {servers} does not answer in time ({error}); check that it is up, and that "
            f"kafka.security_protocol ({settings.security_protocol}) and kafka.sasl_mechanism "
            f"({settings.sasl_mechanism or 'none'}) are what it wants"
        )
    if isinstance(error, UnsupportedCodecError):
        return f"the records are compressed with a codec that is not installed here: {error}"
    if isinstance(error, OSError):  # ssl.SSLError is one
        return f"cannot set up the connection to Kafka at {servers}: {error}; check kafka.ca_file"
    if isinstance(error, KafkaConfigurationError | ValueError | AssertionError):
        return f"the Kafka client refuses its options: {error}; check the section kafka"
    return f"Kafka at {servers} fails: {type(error).__name__}: {error}"


def missing_topic(topic: str, settings: KafkaSettings) -> str:
    """What to tell a person when a topic is not there."""
    servers = settings.bootstrap_servers
    return (
        f"Kafka at {', '.join(servers)} has no topic {topic!r} that this user may see; create it with: "
        f"kafka-topics.sh --bootstrap-server {servers[0]} --create --topic {topic} --partitions 4"
    )


def other_protocol(settings: KafkaSettings, theirs: str = "") -> str:
    """What to tell a person when the members of the group share partitions out in another way."""
    known = f" ({theirs})" if theirs else ""
    return (
        f"group {settings.group_id!r} has members that rebalance in another way{known}, and takes none with "
        f"kafka.rebalance = {settings.rebalance!r} beside them; stop all members, then start them with one "
        f"value (one that was killed is a member for 45 s more)"
    )


def partitions_of(settings: KafkaSettings) -> set[int]:
    """Connect and list the topic's partitions, at least one. Raises SourceError with what to do."""
    consumer = connect(KafkaConsumer, settings, enable_auto_commit=False, allow_auto_create_topics=False)
    try:
        partitions = consumer.partitions_for_topic(settings.topic)
    except KafkaError as error:
        raise SourceError(explain(error, settings)) from error
    finally:
        consumer.close()
    if not partitions:
        raise SourceError(missing_topic(settings.topic, settings))
    return set(partitions)
