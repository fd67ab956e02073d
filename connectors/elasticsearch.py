"""Alerts into Elasticsearch: one data stream, each alert once, no alert lost in silence.

Documents are written with `create` under the alert's own id, so what was written before comes back as a
duplicate. The index template is installed at `open`; without it nothing is written, since a missing one
would silently make a plain index.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import msgspec
from elasticsearch import ApiError, Elasticsearch, TransportError

from connectors.base import MOST_AT_ONCE, Delivery
from connectors.elasticsearch_bulk import BulkWriter, Item
from connectors.elasticsearch_client import (
    NAME,
    ElasticsearchSettings,
    make_client,
    reason_of,
    shown_hosts,
    to_sink_error,
)
from detector.alert import Alert
from detector.errors import SinkNotReady
from detector.query import DeadLetter

__all__ = ["DATASET", "ElasticsearchSettings", "ElasticsearchSink", "check"]

log = logging.getLogger(__name__)

DATASET = "querywatch.alerts"
REPLAY_NAMESPACE = "replay"
QUIET_NAME = f"{NAME} (replay)"
TEMPLATE_NAME = "querywatch-alerts"
_ABSENT_HERE = frozenset({400, 403, 404, 405, 410})


class ElasticsearchSink:
    """The data stream `logs-querywatch.alerts-{namespace}`.

    `replay` writes to the namespace `replay` with event.kind `event`, so that it pages nobody and its ids
    never stand in a live alert's way; `page` turns that off again. `retry_seconds` bounds the repeats of one
    write before it gives up with SinkUnavailable. `verify_before_resend` asks before each write which ids are
    stored already: an id is unique in one backing index only, and a rollover may lie between; with
    `never_twice` it is an error when that may not be asked. `now` is the clock of `event.created` and
    `event.ingested`.
    """

    most_at_once = MOST_AT_ONCE

    def __init__(
        self,
        settings: ElasticsearchSettings,
        *,
        replay: bool = False,
        page: bool = False,
        retry_seconds: float = 60.0,
        verify_before_resend: bool = True,
        never_twice: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._quiet = replay and not page
        # Not the same, so that what a replay left in the dead letters pages nobody when it is sent again.
        self.name = QUIET_NAME if self._quiet else NAME
        self._namespace = REPLAY_NAMESPACE if self._quiet else settings.namespace
        self.stream = f"logs-{DATASET}-{self._namespace}"
        self._retry_seconds, self._verify = retry_seconds, verify_before_resend
        self._never_twice = never_twice
        self._now = now
        self._client: Elasticsearch | None = None

    def open(self) -> None:
        """Connect, install the index template, see that it is there and that nothing else has the name.

        Raises SinkUnavailable when the cluster does not answer, SinkNotReady for what a person must mend.
        """
        self.close()
        client = make_client(self._settings)
        try:
            _version(client)
            _install_template(client)
            self._refuse_plain_index(client)
        except (ApiError, TransportError) as error:
            client.close()
            raise to_sink_error(error, self._settings) from error
        except SinkNotReady:
            client.close()
            raise
        self._client = client

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        """Store all before returning; alerts that the cluster refuses for their content come back rejected.

        Raises SinkUnavailable and SinkNotReady; writing the same alerts again is then safe.
        """
        if self._client is None:
            raise SinkNotReady(NAME, "write before open")
        if not alerts:
            return Delivery(0, 0)
        bulk = BulkWriter(
            self._client,
            self.stream,
            self._settings,
            retry_seconds=self._retry_seconds,
            verify=self._verify,
            never_twice=self._never_twice,
        )
        outcome = bulk.write([self._item(alert) for alert in alerts])
        rejected = [
            _dead_letter(alert, outcome.rejected[alert.id], self.name)
            for alert in alerts
            if alert.id in outcome.rejected
        ]
        return Delivery(len(outcome.created), len(outcome.duplicates), tuple(rejected))

    def close(self) -> None:
        """Release the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _item(self, alert: Alert) -> Item:
        # Through JSON: a deep copy, in which a number that JSON lacks (NaN) is null instead of a refusal.
        encoded = alert.to_json()
        document: dict[str, Any] = msgspec.json.decode(encoded)
        del document["_id"]
        moment = self._now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = document.setdefault("event", {})
        event["created"] = event["ingested"] = moment
        if self._quiet:
            event["kind"] = "event"
        document["data_stream"] = {"type": "logs", "dataset": DATASET, "namespace": self._namespace}
        return Item(alert.id, document, len(encoded))

    def _refuse_plain_index(self, client: Elasticsearch) -> None:
        try:
            found = client.indices.resolve_index(name=self.stream)
        except ApiError as error:
            if error.meta.status not in _ABSENT_HERE:
                raise
            log.info("cannot look up %s before the first write: %s", self.stream, reason_of(error.body))
            return
        if found["indices"] or found["aliases"]:
            problem = f"{self.stream} is a plain index or an alias, not a data stream; remove it"
            raise SinkNotReady(NAME, problem)


def _install_template(client: Elasticsearch) -> None:
    """Put the index template and read it back.

    A key that may only create documents is enough where somebody else installed the template.
    """
    text = resources.files("connectors").joinpath("elasticsearch_template.json").read_text(encoding="utf-8")
    body: dict[str, Any] = msgspec.json.decode(text)
    try:
        _put_template(client, body)
    except ApiError as error:
        if error.meta.status != 403:
            raise
        log.info("may not install the index template %s (%s)", TEMPLATE_NAME, reason_of(error.body))
    try:
        client.indices.get_index_template(name=TEMPLATE_NAME)
    except ApiError as error:
        if error.meta.status == 404:
            raise SinkNotReady(
                NAME,
                f"the index template {TEMPLATE_NAME} is missing and cannot be installed; give the API key "
                f"manage_index_templates, or have an administrator install elasticsearch_template.json",
            ) from error
        if error.meta.status != 403:
            raise
        log.info("may not read index templates; the first write shows whether %s is there", TEMPLATE_NAME)


def _put_template(client: Elasticsearch, body: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        key: body[key] for key in ("index_patterns", "priority", "version", "data_stream")
    }
    template = dict(body["template"])
    try:
        client.indices.put_index_template(name=TEMPLATE_NAME, template=template, meta=body["_meta"], **parts)
    except ApiError as error:
        if error.meta.status != 400 or "data_stream_options" not in reason_of(error.body):
            raise
        log.info("this cluster has no failure store; the template leaves that choice out")
        del template["data_stream_options"]
        client.indices.put_index_template(name=TEMPLATE_NAME, template=template, meta=body["_meta"], **parts)


def _dead_letter(alert: Alert, reason: str, sink: str) -> DeadLetter:
    return alert.dead_letter("rejected_by_sink", sink, f"Elasticsearch refused alert {alert.id}: {reason}")


def check(settings: ElasticsearchSettings) -> str:
    """Ask the cluster who it is, and say so in a sentence. Raises SinkNotReady or SinkUnavailable."""
    client = make_client(settings)
    try:
        version = _version(client)
    except (ApiError, TransportError) as error:
        raise to_sink_error(error, settings) from error
    finally:
        client.close()
    return f"Elasticsearch at {shown_hosts(settings)}: {version}"


def _version(client: Elasticsearch) -> str:
    """Who answers, and as what version, as far as this user may know."""
    try:
        info = client.info()
    except ApiError as error:
        if error.meta.status != 403:
            raise
        return "takes the credentials, which may not ask for its version (right monitor)"
    return f"cluster {info['cluster_name']!r}, version {info['version']['number']}"
