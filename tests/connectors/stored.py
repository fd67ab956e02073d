"""Alerts and dead letters to be stored."""

from __future__ import annotations

from typing import Any

from detector.alert import Alert
from detector.query import DeadLetter


def alert(number: int) -> Alert:
    document: dict[str, Any] = {
        "@timestamp": f"2026-11-24T10:15:{number:02}.118Z",
        "message": "Model inversion query pattern",
        "event": {"kind": "alert", "severity": 73, "risk_score": 81.4},
        "threat": {"technique": {"id": ["AML.T0024"], "subtechnique": {"id": ["AML.T0024.001"]}}},
        "user": {"id": "schlüssel"},
        "service": {"name": "fraud"},
        "querywatch": {"session": {"id": f"s-{number}", "queries": 12}, "evidence": {"series": [0.1, None]}},
    }
    return Alert(id=f"id-{number}", document=document, offset=number)


ALERTS = [alert(number) for number in range(5)]
LETTERS = [
    DeadLetter("not_json", "character 0: Expecting value", b"junk \xff\x00", "log", 0, 7),
    DeadLetter("bad_time", "timestamp: is 0", '{"é": 1}'.encode(), "log", 0, 8),
    DeadLetter("not_json", "character 0: Expecting value", b"", "log", 1, 7),
]
