"""How querywatch reaches Elasticsearch: settings, the client, errors in one clear line.

Repeats are decided by `connectors.elasticsearch_bulk`, so the client itself never tries twice.
"""

from __future__ import annotations

import re
from typing import Protocol
from urllib.parse import urlsplit

from elastic_transport.client_utils import DEFAULT
from elasticsearch import ApiError, Elasticsearch, TransportError
from elasticsearch.exceptions import SSLError, UnsupportedProductError

from connectors.client_certificate import (
    CertificateSettings,
    innermost,
    refused_certificate,
    said_by,
    show_certificate,
    tls_context,
)
from detector.errors import SinkError, SinkNotReady, SinkUnavailable

NAME = "elasticsearch"
_USER_INFO = re.compile(r"(?<=//).*@|^(?!.*//).*@")
OVERLOADED = frozenset({429, 500, 502, 503, 504})
"""Answers after which the same request may succeed later."""


class ElasticsearchSettings(CertificateSettings, Protocol):
    """What the Elasticsearch connector reads of the configuration (section `elasticsearch`)."""

    @property
    def hosts(self) -> tuple[str, ...]: ...
    @property
    def namespace(self) -> str: ...
    @property
    def api_key(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def timeout_seconds(self) -> float: ...


def make_client(settings: ElasticsearchSettings) -> Elasticsearch:
    """A client for the hosts, not yet connected. Raises SinkNotReady for options that cannot be right."""
    if not settings.hosts:
        raise SinkNotReady(
            NAME, "elasticsearch.hosts is empty; name a cluster, such as https://localhost:9200"
        )
    own_tls = settings.ca_file or settings.certificate_file or settings.key_file
    if own_tls and any(urlsplit(host).scheme != "https" for host in settings.hosts):
        key = "ca_file" if settings.ca_file else "certificate_file"
        raise SinkNotReady(NAME, f"elasticsearch.{key} is set, but not every host is https")
    basic = (settings.username, settings.password) if settings.username and not settings.api_key else None
    try:
        context = tls_context(settings) if own_tls else None
        problem = show_certificate(context, settings, "elasticsearch") if context else ""
        if problem:
            raise SinkNotReady(NAME, problem)
        return Elasticsearch(
            list(settings.hosts),
            api_key=settings.api_key or None,
            basic_auth=basic,
            ssl_context=context or DEFAULT,
            max_retries=0,
            retry_on_timeout=False,
            request_timeout=settings.timeout_seconds,
        )
    except OSError as error:
        problem = f"elasticsearch.ca_file cannot be used: {error.strerror or error}"
        raise SinkNotReady(NAME, problem) from error
    except ValueError as error:
        # Its own text may hold a whole address, and that a password.
        problem = (
            f"elasticsearch.hosts {shown_hosts(settings)} cannot be used; write them as https://name:9200"
        )
        raise SinkNotReady(NAME, problem) from error


def shown_hosts(settings: ElasticsearchSettings) -> str:
    """The hosts as text, without the credentials that a URL may carry."""
    return ", ".join(_USER_INFO.sub("", host) for host in settings.hosts)


def to_sink_error(error: ApiError | TransportError, settings: ElasticsearchSettings) -> SinkError:
    """The error of ours that a failed request means: try later, or a person must act."""
    where = shown_hosts(settings)
    if isinstance(error, UnsupportedProductError):
        return SinkNotReady(NAME, f"{where} is not Elasticsearch; check elasticsearch.hosts")
    if isinstance(error, ApiError):
        return refusal(error.meta.status, reason_of(error.body), settings)
    if refused := refused_certificate(innermost(error), settings, "elasticsearch"):
        return SinkNotReady(NAME, f"{where} {refused}")
    if isinstance(error, SSLError):
        return SinkNotReady(
            NAME,
            f"the TLS connection to {where} fails: {said_by(error)}; check that elasticsearch.ca_file is the "
            f"authority that signed the cluster's certificate, and its names in elasticsearch.hosts",
        )
    hint = "and whether it wants https" if "http://" in where else "and elasticsearch.hosts"
    problem = f"no answer from {where}: {said_by(error)}; check that the cluster runs {hint}"
    return SinkUnavailable(NAME, problem)


def refusal(status: int, reason: str, settings: ElasticsearchSettings) -> SinkError:
    """The error of ours that an answer with this status means; of a request, or of one document."""
    where = shown_hosts(settings)
    if status == 401:
        return SinkNotReady(NAME, f"{where} {_not_let_in(settings)} ({reason})")
    if status == 403:
        user = f"user {settings.username!r}" if settings.username else "the user"
        who = "the API key" if settings.api_key else user
        what = f"lets {who} in, but forbids this: give it create_doc and auto_configure"
        return SinkNotReady(NAME, f"{where} {what} on logs-querywatch.alerts-* ({reason})")
    if status in OVERLOADED:
        return SinkUnavailable(NAME, f"{where} answers {status}: {reason}; it is overloaded or starting")
    return SinkNotReady(NAME, f"{where} answers {status}: {reason}")


def _not_let_in(settings: ElasticsearchSettings) -> str:
    if settings.api_key:
        return (
            "refuses the API key: it is wrong, expired or invalidated; make a new one, name it in "
            "elasticsearch.api_key, and start again or reload"
        )
    if settings.username:
        who = f"user {settings.username!r}"
        return f"refuses {who} with that password; check elasticsearch.username and password"
    if any("@" in host for host in settings.hosts):
        return "refuses the user and password in elasticsearch.hosts; check them"
    return "wants credentials; set elasticsearch.api_key, or username and password"


def reason_of(body: object) -> str:
    """The cause in an error body of Elasticsearch, down to the innermost, at most 300 characters."""
    cause = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(cause, dict):
        return str(cause or "no reason given")[:300]
    outer = cause
    while isinstance(cause.get("caused_by"), dict):
        cause = cause["caused_by"]
    reasons = dict.fromkeys(str(part["reason"]) for part in (outer, cause) if part.get("reason"))
    return ": ".join([str(outer.get("type", "error")), *reasons])[:300]
