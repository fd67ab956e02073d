"""A self-alert as an ECS document: the detector tells the SOC that it is blind, and when it no longer is.

It is told from alerts about clients by `querywatch.entity.kind: detector` and `rule.category:
detector_health`. Its ids depend on the deployment, the condition and when the episode began.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from detector import __version__
from detector.alert import Alert
from detector.ecs import ECS_VERSION, iso_time
from detector.watchdog import KINDS, Notice

CATEGORY = "detector_health"
ENTITY = "detector"
NO_OFFSET = -1
"""A self-alert comes from no record."""
MEDIUM, HIGH = 47, 73
_SEVERITY = {
    "alert_flood": MEDIUM,
    "behind": MEDIUM,
    "state_unsaved": MEDIUM,
    "state_rebuilt": MEDIUM,
    "profile_shift": MEDIUM,
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """Which detector speaks: its tenant, topic and group, and the host it runs on, which is in no id."""

    tenant: str = "default"
    topic: str = ""
    group: str = ""
    host: str = ""


def self_alert(notice: Notice, deployment: Deployment) -> Alert:
    """The alert that an episode began, or the event that it is over."""
    condition, over = notice.condition, notice.ended is not None
    at = notice.began if notice.ended is None else notice.ended
    parts = (
        deployment.tenant,
        deployment.topic,
        deployment.group,
        ENTITY,
        condition.kind,
        condition.part,
        str(round(notice.began * 1e3)),
    )
    episode = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
    document_id = hashlib.sha256(f"{episode}\x1f{int(over)}".encode()).hexdigest()[:40]
    severity = _SEVERITY.get(condition.kind, HIGH)
    title = KINDS[condition.kind]
    event: dict[str, Any] = {
        "kind": "event" if over else "alert",
        "category": ["process"],
        "type": ["info"],
        "id": episode,
        "action": "alert-closed" if over else condition.kind.replace("_", "-"),
        "module": "querywatch",
        "dataset": "querywatch.alerts",
        "provider": "querywatch",
        "severity": severity,
        "risk_score": float(severity),
        "risk_score_norm": float(severity),
        "start": iso_time(notice.began),
        "sequence": int(over),
        "reason": f"{'It was: ' if over else ''}{condition.said}. To do: {condition.advice}.",
    }
    if over:
        event["end"] = iso_time(at)
        event["duration"] = round(max(0.0, at - notice.began) * 1e3) * 1_000_000
    observer = {
        "vendor": "querywatch",
        "product": "querywatch",
        "type": "ml-query-detector",
        "version": __version__,
    }
    if deployment.host:
        observer["name"] = deployment.host
    document: dict[str, Any] = {
        "@timestamp": iso_time(at),
        "ecs": {"version": ECS_VERSION},
        "message": f"querywatch: {title[0].lower()}{title[1:]}{' (over)' if over else ''}",
        "event": event,
        "data_stream": {"type": "logs", "dataset": "querywatch.alerts", "namespace": "default"},
        "rule": {
            "id": f"querywatch-self-{condition.kind.replace('_', '-')}",
            "name": title,
            "version": "1",
            "category": CATEGORY,
            "ruleset": "querywatch",
            "license": "Apache-2.0",
        },
        "observer": observer,
        "tags": ["querywatch self-alert"],
        "querywatch": {
            "entity": {"kind": ENTITY, "id": condition.part or deployment.topic},
            "alert": {"revision": int(over), "status": "closed" if over else "open"},
        },
    }
    return Alert(document_id, document, NO_OFFSET)
