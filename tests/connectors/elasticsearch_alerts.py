"""Alerts for Elasticsearch, and when they are written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from connectors.elasticsearch import ElasticsearchSink
from detector.alert import Alert

NOW = datetime(2026, 11, 25, 10, 0, 0, 123_000, tzinfo=UTC)


def alert(name: str, *, offset: int = 0, **querywatch: Any) -> Alert:
    document: dict[str, Any] = {
        "@timestamp": "2026-11-24T10:15:42.118Z",
        "message": "Model inversion query pattern",
        "event": {"kind": "alert", "module": "querywatch", "dataset": "querywatch.alerts", "severity": 73},
        "data_stream": {"type": "logs", "dataset": "querywatch.alerts", "namespace": "default"},
        "source": {"ip": "203.0.113.24"},
        "user": {"id": "client-7"},
        "querywatch": {"entity": {"kind": "session", "id": "s-1"}, **querywatch},
    }
    return Alert(name, document, offset)


Open = Callable[..., ElasticsearchSink]
