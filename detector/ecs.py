"""The alert document: Elastic Common Schema 9.4, as Elastic Security and other SIEMs read it.

Nothing in it depends on the clock, on batching or on where the record was read, so the same traffic gives
the same document from a file and from Kafka. Inputs never appear in it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import UTC, datetime
from typing import Any

import numpy as np

from detector import __version__
from detector.alert import Alert
from detector.features.catalogue import NAMES
from detector.finding import Finding, Raised
from detector.phrases import phrase
from detector.policy import CAMPAIGN, CLIENT, KIND_NAMES, ODD, SESSION
from detector.query import FloatArray, Record
from detector.technique import ATLAS_VERSION, PROBING, Named, Technique, name_technique

ECS_VERSION = "9.4.0"
RULES = (
    ("querywatch-session-search", "Search-like query pattern in one session"),
    ("querywatch-client-search", "Search-like query pattern over several sessions of one client"),
    ("querywatch-campaign-search", "Search-like query pattern over several linked clients"),
    ("querywatch-odd-search", "Search-like query pattern among the unusual queries of one session"),
)
"""Id and name of the rule for each kind of entity."""
RULE_VERSION = "1"
SEVERITIES = (47, 73, 99)
"""Elastic Security's numbers for medium, high and critical; it maps exactly these."""
LOW = 21
PRIOR_SAID = ", by what is known of other models: there is no profile of this one yet"
HINDSIGHT_SAID = " Found in hindsight, {} later: until then too little was known of this model."
HABIT_SAID = " This client's sessions usually score higher than others, and that is taken off."
SHOWN_FEATURES = 6
SHOWN_CLIENTS = 1000
"""Clients of a campaign that an alert names at most; it always says how many there are."""
_ATLAS = "https://atlas.mitre.org"


def iso_time(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def session_name(record: Record, start: float) -> str:
    """The session's id: the record's own, or client and start where it has none."""
    return record.session_id or f"{record.client_id}@{iso_time(start)}"


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def _evidence_features(finding: Finding, surprises: FloatArray) -> list[dict[str, Any]]:
    quantiles = finding.profile.ensemble.tail.quantiles
    known = np.where(np.isnan(surprises), 0.0, surprises)
    total = float(known.sum()) or 1.0
    out = []
    for j in np.argsort(-known, kind="stable")[:SHOWN_FEATURES]:
        if known[j] <= 0.0 or quantiles is None:
            break
        out.append(
            {
                "name": NAMES[j],
                "value": _number(float(finding.features[j])),
                "normal_median": _number(float(quantiles.at(0.5)[j])),
                "normal_p99": _number(float(quantiles.at(0.99)[j])),
                "contribution": _number(float(known[j]) / total),
            }
        )
    return out


def _threat(technique: Technique) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": [technique.technique_id],
        "name": [technique.technique],
        "reference": [f"{_ATLAS}/techniques/{technique.technique_id}/"],
    }
    if technique.subtechnique_id:
        described["subtechnique"] = {
            "id": [technique.subtechnique_id],
            "name": [technique.subtechnique],
            "reference": [f"{_ATLAS}/techniques/{technique.subtechnique_id}/"],
        }
    return {
        "framework": "MITRE ATLAS",
        "tactic": {
            "id": [technique.tactic_id],
            "name": [technique.tactic],
            "reference": [f"{_ATLAS}/tactics/{technique.tactic_id}/"],
        },
        "technique": described,
    }


def _technique(named: Named) -> dict[str, Any]:
    told: dict[str, Any] = {"name": named.technique.key, "confidence": _number(named.confidence)}
    if named.others:
        told["others"] = [{"name": one.key, "confidence": _number(share)} for one, share in named.others]
    return told


def _source(address: str) -> dict[str, Any]:
    """`source.ip` is typed in the index, so only a real address goes there."""
    if not address:
        return {}
    try:
        return {"source": {"address": address, "ip": str(ipaddress.ip_address(address))}}
    except ValueError:
        return {"source": {"address": address}}


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _printable(name: str) -> str:
    """A name from the log as text to read: control and direction characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _reason(finding: Finding, named: Named, features: list[dict[str, Any]]) -> str:
    lasted = max(0.0, finding.record.timestamp - finding.entity_start)
    because = "; ".join(phrase(f["name"], f["value"], f["normal_median"]) for f in features[:3])
    looks = [named.technique.title.lower(), *(other.title.lower() for other, _ in named.others)]
    over = f" in {finding.sessions} sessions" if finding.kind == CLIENT else ""
    if finding.campaign is not None:
        over = f" by {len(finding.campaign.clients)} clients in {finding.campaign.sessions} sessions"
    what = "unusual queries of one session" if finding.kind == ODD else "queries"
    return (
        f"{finding.queries} {what} to {_printable(finding.model_id)}{over} in {_duration(lasted)} look like "
        f"{' or '.join(looks)}: {because}. "
        f"Evidence {finding.evidence:.1f} against a threshold of {finding.threshold:.1f}"
        f"{'' if finding.profile.sequence else PRIOR_SAID}."
        f"{HABIT_SAID if finding.habit > 0.0 else ''}"
        f"{_hindsight(finding)}"
    )


def _hindsight(finding: Finding) -> str:
    if finding.raised is None:
        return ""
    return HINDSIGHT_SAID.format(_duration(max(0.0, finding.raised.time - finding.record.timestamp)))


def _identity(finding: Finding, name: str) -> tuple[str, str]:
    """Episode id and document id: hashes of what can never change for this message."""
    parts = (
        finding.tenant,
        finding.model_id,
        KIND_NAMES[finding.kind],
        "" if finding.kind == CAMPAIGN else finding.record.client_id,
        name,
        RULES[finding.kind][0],
        str(round(finding.began * 1e6)),
        str(finding.episode),
    )
    episode = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
    document = hashlib.sha256(f"{episode}\x1f{finding.revision}".encode()).hexdigest()[:40]
    return episode, document


def _about(finding: Finding) -> tuple[dict[str, Any], str]:
    """Fields that say whose queries they are, and the id of the session or campaign, empty for a client."""
    record = finding.record
    if finding.kind in (SESSION, ODD):
        session = session_name(record, finding.entity_start)
        entity = {"kind": "session", "id": session}
        counted = "odd_queries" if finding.kind == ODD else "queries"
        return {"entity": entity, "session": {"id": session, counted: finding.queries}}, session
    if finding.campaign is not None:
        campaign = finding.campaign
        founding = (
            f"{finding.tenant}\x1f{finding.model_id}\x1f{round(campaign.founded * 1e6)}\x1f{campaign.mark}"
        )
        name = hashlib.sha256(founding.encode()).hexdigest()[:16]
        return {
            "entity": {"kind": "campaign", "id": name},
            "campaign": {
                "id": name,
                "queries": finding.queries,
                "clients": len(campaign.clients),
                "sessions": campaign.sessions,
            },
        }, name
    about: dict[str, Any] = {
        "entity": {"kind": "client", "id": record.client_id},
        "client": {"id": record.client_id, "queries": finding.queries, "sessions": finding.sessions},
    }
    if record.session_id:
        about["session"] = {"id": record.session_id}
    return about, ""


def _raised(raised: Raised | None) -> dict[str, Any]:
    return {} if raised is None else {"hindsight": True, "raised": iso_time(raised.time)}


def build_alert(finding: Finding) -> Alert:
    """The ECS document of one finding: revision 0 is the alert, later ones are events about it."""
    record = finding.record
    surprises = finding.profile.ensemble.tail.see(finding.features[None, :]).extreme[0]
    named = name_technique(surprises, finding.features, finding.recognised)
    technique = named.technique
    features = _evidence_features(finding, surprises)
    about, name = _about(finding)
    episode, document_id = _identity(finding, name)
    ratio = finding.evidence / finding.threshold
    tail = finding.profile.tail_of(finding.kind, finding.late)
    risk = round(min(100.0, 40.0 * ratio), 1)
    severity = LOW if technique is PROBING and finding.level == 0 else SEVERITIES[finding.level]
    title = f"{technique.title} query pattern"
    first = finding.revision == 0
    tags = [f"Mitre Atlas: {(technique.subtechnique_id or technique.technique_id).removeprefix('AML.')}"]
    if technique.owasp:
        tags.append(f"OWASP {technique.owasp}")
    source = _source(record.source_ip)
    who: dict[str, Any] = {"user": {"id": record.client_id, "name": record.client_id}}
    related: dict[str, Any] = {"user": [record.client_id]}
    if finding.campaign is not None:
        # One address and program of many would name the wrong one.
        who, source = {}, {}
        related = {"user": finding.campaign.clients[:SHOWN_CLIENTS]}
    if "ip" in source.get("source", {}):
        related["ip"] = [source["source"]["ip"]]
    document: dict[str, Any] = {
        "@timestamp": iso_time(record.timestamp),
        "ecs": {"version": ECS_VERSION},
        "message": title,
        "event": {
            "kind": "alert" if first else "event",
            "category": ["intrusion_detection", "api"],
            "type": ["info"],
            "id": episode,
            "action": f"{technique.key.replace('_', '-')}-suspected" if first else "alert-updated",
            "module": "querywatch",
            "dataset": "querywatch.alerts",
            "provider": "querywatch",
            "severity": severity,
            "risk_score": risk,
            "risk_score_norm": risk,
            "start": iso_time(finding.entity_start),
            "end": iso_time(record.timestamp),
            "duration": round(max(0.0, record.timestamp - finding.entity_start) * 1e3) * 1_000_000,
            "sequence": finding.revision,
            "reason": _reason(finding, named, features),
        },
        "data_stream": {"type": "logs", "dataset": "querywatch.alerts", "namespace": "default"},
        "rule": {
            "id": RULES[finding.kind][0],
            "name": RULES[finding.kind][1],
            "version": RULE_VERSION,
            "category": technique.key,
            "ruleset": "querywatch",
            "license": "Apache-2.0",
        },
        "threat": _threat(technique),
        **who,
        "service": {"name": finding.model_id, "type": "ml-inference"},
        "observer": {
            "vendor": "querywatch",
            "product": "querywatch",
            "type": "ml-query-detector",
            "version": __version__,
        },
        "related": related,
        "tags": tags,
        **source,
        "querywatch": {
            **about,
            "trigger": {"request_id": record.request_id},
            "technique": _technique(named),
            "alert": {"revision": finding.revision, "status": "open", **_raised(finding.raised)},
            "detector": {
                "score": _number(finding.evidence),
                "threshold": _number(finding.threshold),
                "habit": _number(finding.habit),
                "p_value": _number(tail.p_value(finding.evidence)),
                "supported_budget": _number(finding.profile.tail.supported_budget()),
            },
            "evidence": {
                "features": features,
                "series": {"confidence": finding.series[0], "distance": finding.series[1]},
            },
            "profile": {"version": finding.profile.version},
            "atlas_version": ATLAS_VERSION,
        },
    }
    if record.user_agent and finding.campaign is None:
        document["user_agent"] = {"original": record.user_agent}
    if record.tenant_id:
        document["organization"] = {"id": record.tenant_id}
    return Alert(document_id, document, record.offset if finding.raised is None else finding.raised.offset)
