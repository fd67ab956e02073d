"""The alert document: what is in it, what is not, and what its ids depend on.

`tests/data/alert.json` is the whole document of the fixed finding. When it is meant to change, write it
anew with `python -m tests.detector.test_ecs`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.ecs import build_alert, iso_time
from detector.evidence import SessionTail
from detector.finding import Raised
from detector.policy import ODD
from detector.technique import ALL
from tests.detector.findings import SECRET, finding, judge, record, values

GOLDEN = Path(__file__).parents[1] / "data" / "alert.json"

_NAMES = """
@timestamp message tags ecs.version
event.kind event.category event.type event.id event.action event.module event.dataset event.provider
event.severity event.risk_score event.risk_score_norm event.start event.end event.duration event.sequence
event.reason
data_stream.type data_stream.dataset data_stream.namespace
rule.id rule.name rule.version rule.category rule.ruleset rule.license
threat.framework threat.tactic.id threat.tactic.name threat.tactic.reference
threat.technique.id threat.technique.name threat.technique.reference
threat.technique.subtechnique.id threat.technique.subtechnique.name threat.technique.subtechnique.reference
user.id user.name service.name service.type source.ip source.address user_agent.original organization.id
observer.vendor observer.product observer.type observer.version related.user related.ip
"""
ECS_FIELDS = _NAMES.split()
"""Fields of ECS 9.4 that we fill (checked by hand against `generated/ecs/ecs_flat.yml`)."""
ARRAYS = {
    "event.category",
    "event.type",
    "related.user",
    "related.ip",
    "tags",
    *(name for name in ECS_FIELDS if re.match(r"threat\.t", name)),
}
"""Those that ECS says hold arrays."""


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field by its dotted name."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


def document(**changes: Any) -> dict[str, Any]:
    return build_alert(finding(**changes)).document


def test_the_document_of_a_fixed_finding() -> None:
    assert json.loads(build_alert(finding()).to_json()) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_every_field_is_ecs_or_ours() -> None:
    fields = dict(leaves(document()))
    unknown = {name for name in fields if not name.startswith("querywatch.")} - set(ECS_FIELDS)
    assert not unknown
    for name in ECS_FIELDS:
        assert isinstance(fields[name], list) == (name in ARRAYS), name


def test_fields_that_the_siem_relies_on() -> None:
    found = document()
    event, ours = found["event"], found["querywatch"]
    assert (event["kind"], event["module"], event["dataset"]) == ("alert", "querywatch", "querywatch.alerts")
    assert event["dataset"] == found["data_stream"]["dataset"]
    assert event["severity"] == 73
    assert isinstance(event["severity"], int)
    assert isinstance(event["duration"], int)
    assert 0.0 <= event["risk_score"] <= 100.0
    assert found["user"]["id"] == "key-7"
    assert found["service"]["name"] == "credit"
    assert ours["entity"] == {"kind": "session", "id": "s-1"}
    assert ours["session"] == {"id": "s-1", "queries": 84}
    assert ours["trigger"] == {"request_id": "r-99"}
    assert ours["detector"]["score"] == 27.25
    assert ours["detector"]["threshold"] == 17.5
    assert ours["detector"]["p_value"] == pytest.approx(judge().tail.p_value(27.25), rel=1e-5)
    assert ours["profile"] == {"version": "1-0123456789ab"}
    assert ours["evidence"]["series"] == {"confidence": [0.25, None, 0.5], "distance": [None, 0.125, 0.0625]}
    for feature in ours["evidence"]["features"]:
        assert set(feature) == {"name", "value", "normal_median", "normal_p99", "contribution"}
        assert feature["normal_median"] == pytest.approx(0.5, abs=0.01)
    shares = [feature["contribution"] for feature in ours["evidence"]["features"]]
    assert shares == sorted(shares, reverse=True)
    assert 0.0 < sum(shares) <= 1.0 + 1e-6
    assert len(found["message"]) < 60
    assert "84 queries to credit in 2 min" in event["reason"]


@pytest.mark.parametrize(("level", "severity"), [(0, 47), (1, 73), (2, 99)])
def test_severities_are_the_four_that_elastic_maps(level: int, severity: int) -> None:
    assert document(level=level)["event"]["severity"] == severity


def test_probing_of_medium_level_is_low() -> None:
    """The rules alone: the recogniser would have a guess."""
    found = document(level=0, features=values(collinear_steps=1.5), recognised={})
    assert found["querywatch"]["technique"]["name"] == "model_probing"
    assert found["event"]["severity"] == 21
    assert "subtechnique" not in found["threat"]["technique"]


def test_another_technique_that_may_be_meant_is_told() -> None:
    found = document()
    others = found["querywatch"]["technique"].get("others", [])
    told = [technique.title.lower() for technique in ALL if technique.key in {one["name"] for one in others}]
    assert all(title in found["event"]["reason"] for title in told)
    assert all(one["confidence"] <= found["querywatch"]["technique"]["confidence"] for one in others)


def test_times_are_rfc_3339_with_milliseconds() -> None:
    found = document()
    assert found["@timestamp"] == found["event"]["end"] == "2025-10-09T08:55:23.456Z"
    assert found["event"]["start"] == "2025-10-09T08:53:20.000Z"
    assert found["event"]["duration"] == 123_456_000_000
    assert iso_time(0.0) == "1970-01-01T00:00:00.000Z"
    late = document(entity_start=1_760_000_500.0)
    assert late["event"]["duration"] == 0


def test_later_revisions_are_events_about_the_same_alert() -> None:
    first, later = build_alert(finding()), build_alert(finding(revision=2, queries=900, evidence=60.0))
    assert later.document["event"]["kind"] == "event"
    assert later.document["event"]["action"] == "alert-updated"
    assert later.document["event"]["sequence"] == 2
    assert later.document["event"]["id"] == first.document["event"]["id"]
    assert later.id != first.id


MUTABLE: list[dict[str, Any]] = [
    {"evidence": 99.0},
    {"threshold": 12.0},
    {"queries": 85},
    {"level": 2},
    {"features": values(close_flips=3.0)},
    {"series": ([], [])},
    {"record": record(offset=9, request_id="r-2", timestamp=1_760_000_200.0, source_ip="", user_agent="x")},
]


@pytest.mark.parametrize("change", MUTABLE, ids=lambda change: next(iter(change)))
def test_ids_do_not_depend_on_what_can_change(change: dict[str, Any]) -> None:
    first, other = build_alert(finding()), build_alert(finding(**change))
    assert other.id == first.id
    assert other.document["event"]["id"] == first.document["event"]["id"]


def test_ids_do_not_depend_on_the_profile() -> None:
    other = replace(judge(), version="2-abcdefabcdef", tails=(SessionTail(3.0, 2.0, 0.1, 999),) * 3)
    assert build_alert(finding(profile=other)).id == build_alert(finding()).id


def test_ids_tell_apart_what_differs() -> None:
    different = [
        finding(),
        finding(began=1_760_000_124.0),
        finding(tenant="other"),
        finding(model_id="other"),
        finding(record=record(client_id="key-8")),
        finding(record=record(session_id="s-2")),
    ]
    alerts = [build_alert(each) for each in different]
    assert len({alert.id for alert in alerts}) == len(alerts)
    assert len({alert.document["event"]["id"] for alert in alerts}) == len(alerts)
    assert all(re.fullmatch("[0-9a-f]{40}", alert.id) for alert in alerts)


def test_an_alert_on_odd_queries_is_about_their_session() -> None:
    document = build_alert(finding(kind=ODD, queries=40)).document
    assert document["rule"]["id"] == "querywatch-odd-search"
    ours = document["querywatch"]
    assert ours["entity"] == {"kind": "session", "id": "s-1"}
    assert ours["session"] == {"id": "s-1", "odd_queries": 40}
    assert document["event"]["reason"].startswith("40 unusual queries of one session to credit in ")
    assert document["event"]["id"] != build_alert(finding(queries=40)).document["event"]["id"]


def test_an_alert_in_hindsight_is_about_the_query_that_showed_it_and_says_when_it_was_raised() -> None:
    now = build_alert(finding())
    late = build_alert(finding(raised=Raised(1_760_007_323.456, 9000)))
    assert (now.offset, late.offset) == (4711, 9000)
    assert late.id == now.id
    ours = late.document["querywatch"]
    assert ours.pop("alert") == {
        "revision": 0,
        "status": "open",
        "hindsight": True,
        "raised": "2025-10-09T10:55:23.456Z",
    }
    assert late.document["event"].pop("reason") == now.document["event"].pop("reason") + (
        " Found in hindsight, 2.0 h later: until then too little was known of this model."
    )
    del now.document["querywatch"]["alert"]
    assert late.document == now.document
    # A clock that went back is no time before.
    early = build_alert(finding(raised=Raised(0.0, 9000)))
    assert "Found in hindsight, 0 s later" in early.document["event"]["reason"]


def test_only_a_real_address_is_typed_as_one() -> None:
    assert document(record=record(source_ip="2001:DB8::1"))["source"]["ip"] == "2001:db8::1"
    odd = document(record=record(source_ip="behind-the-proxy"))
    assert odd["source"] == {"address": "behind-the-proxy"}
    assert "ip" not in odd["related"]
    assert "source" not in document(record=record(source_ip=""))


def test_what_a_record_does_not_name_is_left_out() -> None:
    found = document(record=record(user_agent="", tenant_id="", session_id=""))
    assert "user_agent" not in found
    assert "organization" not in found
    assert found["querywatch"]["session"]["id"] == "key-7@2025-10-09T08:53:20.000Z"


def test_no_input_is_in_the_document() -> None:
    text = build_alert(finding()).to_json().decode()
    assert str(SECRET) not in text
    assert str(int(SECRET)) not in text
    assert "as it came" not in text


def test_a_text_input_is_not_in_the_document() -> None:
    text = build_alert(finding(record=record(input="my secret prompt"))).to_json().decode()
    assert "secret" not in text


def test_unknown_features_are_not_shown_and_numbers_are_finite() -> None:
    features = values(near_duplicates=3.0)
    features[1::2] = np.nan
    text = build_alert(finding(features=features, evidence=1e9)).to_json().decode()
    assert "NaN" not in text
    found = json.loads(text)
    assert found["event"]["risk_score"] == 100.0
    assert all(feature["value"] is not None for feature in found["querywatch"]["evidence"]["features"])


def test_actions_and_titles_of_every_technique_are_stable() -> None:
    assert {technique.key for technique in ALL} == {
        "model_inversion",
        "membership_inference",
        "model_extraction",
        "evasion_search",
        "model_probing",
    }
    for technique in ALL:
        assert technique.technique_id.startswith("AML.T")
        assert bool(technique.subtechnique_id) == bool(technique.subtechnique)
        assert technique.subtechnique_id.startswith(technique.technique_id) or not technique.subtechnique_id


if __name__ == "__main__":
    text = json.dumps(json.loads(build_alert(finding()).to_json()), indent=1, sort_keys=True)
    GOLDEN.write_text(text + "\n", encoding="utf-8")
