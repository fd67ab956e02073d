"""TLS and sign-in for Kafka, the same for both clients: what cannot work is said at once, in one line.

Left to themselves the clients try on until their time is over and then know no cause.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from kafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.net.sasl.oauth import AbstractTokenProvider

from connectors import client_certificate
from connectors.client_certificate import CertificateSettings
from detector.errors import SourceError

PROBE_SECONDS = 3.0
"""How long a server may take to accept a connection, and for its part of a TLS handshake."""

TOKEN_SECONDS = 300.0
"""Longest that the confluent client keeps a token before it reads the file again."""

OAUTH = "OAUTHBEARER"
_ANY_REQUEST = bytes.fromhex("0000000a 0012 0000 00000001 ffff")
"""ApiVersions, version 0, which every broker answers anybody: size, key, version, number, no client id."""
_REFUSALS = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, IllegalSaslStateError, SourceError)


class SecuritySettings(CertificateSettings, Protocol):
    """What is read here of the configuration (section `kafka`)."""

    @property
    def bootstrap_servers(self) -> tuple[str, ...]: ...
    @property
    def security_protocol(self) -> str: ...
    @property
    def sasl_mechanism(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def oauth_token_file(self) -> str: ...


def uses_tls(settings: SecuritySettings) -> bool:
    """Whether the brokers are spoken to through TLS."""
    return settings.security_protocol in {"SSL", "SASL_SSL"}


def refuse_contradictions(settings: SecuritySettings) -> None:
    """Raises SourceError for settings of which one can only be a mistake."""
    sasl = settings.security_protocol.startswith("SASL_")
    if sasl and not settings.sasl_mechanism:
        problem = (
            f"kafka.security_protocol is {settings.security_protocol}, but kafka.sasl_mechanism is empty"
        )
    elif settings.sasl_mechanism and not sasl:
        problem = (
            f"kafka.sasl_mechanism is {settings.sasl_mechanism}, but kafka.security_protocol is "
            f"{settings.security_protocol}, which signs nobody in; use SASL_SSL"
        )
    elif (settings.ca_file or settings.certificate_file) and not uses_tls(settings):
        key = "ca_file" if settings.ca_file else "certificate_file"
        problem = f"kafka.{key} is set, but kafka.security_protocol {settings.security_protocol} uses no TLS"
    elif settings.sasl_mechanism == OAUTH and not settings.oauth_token_file:
        problem = "kafka.oauth_token_file is empty, but kafka.sasl_mechanism is OAUTHBEARER"
    elif settings.sasl_mechanism not in {"", OAUTH} and not (settings.username and settings.password):
        problem = f"kafka.sasl_mechanism {settings.sasl_mechanism} needs kafka.username and kafka.password"
    else:
        return
    raise SourceError(problem)


def tls_context(settings: SecuritySettings) -> ssl.SSLContext:
    """As `client_certificate.tls_context`, with the certificate to show. Raises OSError, SourceError."""
    context = client_certificate.tls_context(settings)
    if problem := client_certificate.show_certificate(context, settings, "kafka"):
        raise SourceError(problem)
    return context


class TokenFile:
    """kafka-python asks it for a token at each connection, and again before a signed-in session ends."""

    def __init__(self, settings: SecuritySettings) -> None:
        self._path = Path(settings.oauth_token_file)

    def token(self) -> str:
        """The token that the file holds now. Raises SourceError."""
        return self.read()[0]

    def extensions(self) -> dict[str, str]:
        """None are sent."""
        return {}

    def for_librdkafka(self, config: str) -> tuple[str, float]:
        """The token, and when to ask again [s since the epoch]. Raises SourceError."""
        token, expiry = self.read()
        return token, min(expiry, time.time() + TOKEN_SECONDS)

    def read(self) -> tuple[str, float]:
        """Token and expiry [s since the epoch], infinite where it does not tell. Raises SourceError."""
        where = f"the token file {self._path} (kafka.oauth_token_file)"
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problem = getattr(error, "strerror", None) or "it is no text"
            raise SourceError(f"{where} cannot be read: {problem}") from error
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise SourceError(f"{where} does not hold one token")
        expiry = _expiry(token)
        if expiry <= time.time():
            raise SourceError(f"the token in {self._path} (kafka.oauth_token_file) has expired; renew it")
        return token, expiry


AbstractTokenProvider.register(TokenFile)


def _expiry(token: str) -> float:
    """The claim `exp` of a JSON web token; infinite for any other kind of token."""
    parts = token.split(".")
    if len(parts) != 3:
        return math.inf
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def refuse_silence(settings: SecuritySettings) -> None:
    """See that one bootstrap server accepts a connection and, where asked for, a TLS handshake.

    Raises KafkaConnectionError when none answers, ssl.SSLError when those that do fail the handshake.
    """
    context = tls_context(settings) if uses_tls(settings) else None
    silent, refused = [], None
    for server in settings.bootstrap_servers:
        host, port = _host_and_port(server)
        try:
            with socket.create_connection((host, port), PROBE_SECONDS) as connection:
                if context is not None:
                    _shake_hands(context, connection, host)
                return
        except ssl.SSLError as error:
            refused = error
        except OSError as error:
            silent.append(f"{server}: {error}")
    if refused is not None:
        raise refused
    raise KafkaConnectionError("; ".join(silent))


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":") if ":" in server else (server, "", "9092")
    return host.strip("[]"), int(port)


def _shake_hands(context: ssl.SSLContext, connection: socket.socket, host: str) -> None:
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            # In TLS 1.3 a server that does not like our certificate says so after the handshake.
            secured.sendall(_ANY_REQUEST)
            secured.recv(1)
    except ssl.SSLError:
        raise
    except OSError as error:  # it hung up, or said nothing for PROBE_SECONDS
        raise ssl.SSLError(f"the handshake ends with: {error}") from error


def _speaks_tls(settings: SecuritySettings) -> bool:
    """Whether a bootstrap server answers a TLS handshake, whatever certificate it shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only asks; nothing is sent
    for server in settings.bootstrap_servers:
        host, port = _host_and_port(server)
        try:
            with socket.create_connection((host, port), PROBE_SECONDS) as connection:
                _shake_hands(context, connection, host)
                return True
        except OSError:
            continue
    return False


def stop_at_refusals(client: Any, settings: SecuritySettings) -> Callable[[], None]:
    """Let a refused sign-in end the start of kafka-python's network client at once; call the result after.

    kafka-python 3.0.12 only logs it and tries on. For the start only: a broker that refuses later may be one
    that has not read its users yet.
    """
    manager = client._manager
    _keep_last_words(manager)
    get_connection = manager.get_connection
    refusals: list[BaseException] = []

    def note(error: BaseException) -> None:
        if isinstance(error, _REFUSALS):
            refusals.append(error)
        elif not uses_tls(settings) and _speaks_tls(settings):
            servers = ", ".join(settings.bootstrap_servers)
            wanted = "SASL_SSL or SSL"
            problem = f"Kafka at {servers} speaks TLS there; set kafka.security_protocol to {wanted}"
            refusals.append(SourceError(problem))

    def connection_until_refused(node_id: Any, **options: Any) -> Any:
        if refusals:
            raise refusals[0]
        connection = get_connection(node_id, **options)
        connection.init_future.add_errback(note)
        return connection

    manager.get_connection = connection_until_refused
    return lambda: delattr(manager, "get_connection")


def _keep_last_words(manager: Any) -> None:
    """Have what came right before the end of a connection read: a broker says why, and hangs up.

    kafka-python 3.0.12 throws away what it receives at one go with the end.
    """
    build = manager._build_transport

    async def build_transport(*arguments: Any, **options: Any) -> Any:
        transport = await build(*arguments, **options)
        receive = transport._sock_recv

        def receive_first() -> Any:
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = receive_first
        return transport

    manager._build_transport = build_transport
