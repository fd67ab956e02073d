"""Ids and names are chosen by strangers: whatever they hold is stored as it is, and obeyed nowhere."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.elasticsearch import ElasticsearchSink
from connectors.formats.fields import shorten
from connectors.sqlite import read_alerts, read_dead_letters
from detector.alert import Alert
from detector.config import Elasticsearch
from tests import traffic
from tests.detector.conftest import Querywatch
from tests.servers.elasticsearch import ElasticsearchServer

HOSTILE = {
    "newlines": "a\nb\r\nquerywatch: all is well\u2028c\u0085d",
    "terminal": "\x1b[2J\x1b]0;title\x07\x9b31m\x7f",
    "zero byte": "a\0b",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "formula": "=cmd|' /C calc'!A0",
    "direction": "gpj\u202eexe.\u2066\u200f",
    "invisible": "ad\u200bmi\u00adn\ufeff",
    "look-alike": "\u0430dmin",
    "tags": "flag\U000e0041\U000e0042",
    "half a pair": "x\ud83dx",
    "very long": "x" * 1_000_000,
    "very long and wide": "\U0001f600" * 2_000,
    "statement": "'; DROP TABLE alerts; --",
    "template": "${jndi:ldap://127.0.0.1/x}{{7*7}}%s%n{0}",
    "path": "../../etc/passwd",
    "brackets": "[red]markup[/red] [bold",
    "quotes": "\"'`\\",
}
OTHERS = 10_000
"""Longest text in the fields beside the client's id, so that a record keeps within its limit."""
ADDRESSES = ("fe80::1%eth0", "::ffff:192.0.2.1", "192.0.2.1\n", "0x7f.1", "2001:db8::/32", "\u202e1.2.3.4")


def attacks() -> list[dict[str, Any]]:
    """One attack a hostile text, which stands in every field that a client may choose."""
    parts = []
    for n, text in enumerate(HOSTILE.values()):
        part = traffic.inversion(seed=n, queries=40, at=traffic.START + 1000.0 * n)
        others = dict.fromkeys(("session_id", "request_id", "user_agent", "tenant_id"), text[:OTHERS])
        ids = others | {"client_id": text, "label": text[:OTHERS]}
        address = ADDRESSES[n % len(ADDRESSES)]
        parts.append([query | ids | {"source_ip": address} for query in part])
    return traffic.mixed(*parts)


def _expected(longest: int | None = None) -> set[str]:
    """Ids as they are kept."""
    return {shorten(text[:longest]) for text in HOSTILE.values()}


@pytest.fixture
def hostile_log(tmp_path: Path) -> Path:
    log = traffic.write(tmp_path / "hostile.ndjson", attacks())
    with log.open("ab") as file:  # names of models, and records that are none
        for text in HOSTILE.values():
            query = traffic.benign(1, seed=1)[0] | {"model_id": text}
            file.write(json.dumps(query).encode() + b"\n")
            file.write(json.dumps(query | {"confidence": text}).encode() + b"\n")
            file.write(b"not json " + text.encode("utf-8", "replace").replace(b"\n", b" ") + b"\n")
    return log


def test_alerts_hold_them_whole_and_no_terminal_obeys_them(
    querywatch: Querywatch, hostile_log: Path, toy_profile: Path, tmp_path: Path
) -> None:
    result = querywatch("replay", hostile_log, "--profile", toy_profile, "--frozen", "--alerts", "a.ndjson")
    assert result.exit_code == 0, result.output
    for line in (tmp_path / "a.ndjson", tmp_path / "a.dead-letters.ndjson"):
        text = line.read_text(encoding="utf-8")
        assert all(part.isprintable() for part in text.split("\n"))
    documents = [json.loads(line) for line in (tmp_path / "a.ndjson").read_bytes().splitlines()]
    sessions = [d for d in documents if d["querywatch"]["entity"]["kind"] == "session"]
    assert {d["user"]["id"] for d in sessions} == _expected()
    assert {d["querywatch"]["trigger"]["request_id"] for d in sessions} == _expected(OTHERS)
    assert all(d["event"]["reason"].isprintable() for d in documents)
    assert all(line.isprintable() for line in result.output.split("\n"))
    assert not [line for line in result.output.split("\n") if line.startswith("querywatch: all is well")]
    letters = (tmp_path / "a.dead-letters.ndjson").read_bytes().splitlines()
    assert len(letters) == 2 * len(HOSTILE)


def test_on_standard_output_too(querywatch: Querywatch, hostile_log: Path, toy_profile: Path) -> None:
    result = querywatch("replay", hostile_log, "--profile", toy_profile, "--frozen", "--alerts", "-")
    assert all(line.isprintable() for line in result.output.split("\n"))


def test_the_database_holds_them_whole(
    querywatch: Querywatch, hostile_log: Path, toy_profile: Path, tmp_path: Path
) -> None:
    querywatch("replay", hostile_log, "--profile", toy_profile, "--frozen", "--db", "a.sqlite")
    assert {a.document["user"]["id"] for a in read_alerts(tmp_path / "a.sqlite")} == _expected()
    assert len(read_dead_letters(tmp_path / "a.sqlite")) == 2 * len(HOSTILE)
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        assert {row[0] for row in connection.execute("SELECT client FROM alerts")} == _expected()


@pytest.mark.servers
def test_elasticsearch_takes_every_alert(
    querywatch: Querywatch,
    hostile_log: Path,
    toy_profile: Path,
    tmp_path: Path,
    elasticsearch_server: ElasticsearchServer,
    namespace: str,
) -> None:
    querywatch("replay", hostile_log, "--profile", toy_profile, "--frozen", "--alerts", "a.ndjson")
    alerts = []
    for line in (tmp_path / "a.ndjson").read_bytes().splitlines():
        document = msgspec.json.decode(line)
        alerts.append(Alert(document.pop("_id"), document, 0))
    sink = ElasticsearchSink(Elasticsearch(hosts=(elasticsearch_server.url,), namespace=namespace))
    sink.open()
    try:
        delivery = sink.write(alerts)
        assert (delivery.created, delivery.rejected) == (len(alerts), ())
    finally:
        sink.close()
