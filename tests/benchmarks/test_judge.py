"""Alerts against the truth: an alert counts for the attack whose session or client it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.detection.judge import judge
from benchmarks.traces.log import Session

BEGIN = 1_700_000_000.0


def session(client: str, name: str, times: Sequence[float], own: Sequence[bool] | None = None) -> Session:
    """A session with queries at these seconds; `own` marks those that an attack made."""
    n = len(times)
    return Session(
        session_id=name,
        client_id=client,
        model_id="m",
        kind="boundary" if own else "ordinary",
        family="evasion" if own else "benign",
        source_ip="192.0.2.1",
        user_agent="curl",
        request_prefix=name,
        inputs=np.zeros((n, 2)),
        answers=np.zeros((n, 2)),
        times=BEGIN + np.array(times, dtype=np.float64),
        own=np.array(own or [False] * n, dtype=np.bool_),
    )


def alert(kind: str, client: str, name: str, second: float, request: str = "", **more: Any) -> dict[str, Any]:
    """An alert document as far as judging reads it."""
    time = str(np.datetime64(round((BEGIN + second) * 1000), "ms"))
    ours = {
        "entity": {"kind": kind, "id": name},
        "session": {"id": name, "queries": 9},
        "technique": {"name": "evasion_search"},
        "trigger": {"request_id": request},
        **more,
    }
    document = {"@timestamp": f"{time}Z", "service": {"name": "m"}, "user": {"id": client}}
    return document | {"querywatch": ours, "related": {"user": [client]}}


def test_a_session_alert_finds_the_attack_and_counts_its_own_queries() -> None:
    attack = session("a", "s", [0, 1, 2, 3], [True, False, True, True])
    outcome = judge([alert("session", "a", "s", 2, "s-0002")], [session("b", "t", [0])], [[attack]])
    (found,) = outcome.attacks
    assert (found.after, found.after_all, found.queries) == (2, 3, 3)
    assert (found.technique, found.entity) == ("evasion_search", "session")
    assert outcome.false_alerts == []
    assert outcome.benign == {"ordinary": 1}


def test_only_the_first_alert_counts() -> None:
    attack = session("a", "s", [0, 1, 2], [True] * 3)
    alerts = [alert("session", "a", "s", second, f"s-000{second}") for second in (1, 2)]
    assert judge(alerts, [], [[attack]]).attacks[0].after == 2


def test_an_alert_in_hindsight_comes_after_all_that_was_sent_until_it_was_raised() -> None:
    attack = session("a", "s", [0, 1, 2, 3, 9], [True, False, True, True, True])
    raised = str(np.datetime64(round((BEGIN + 5) * 1000), "ms"))
    late = alert("session", "a", "s", 1, "s-0001", alert={"hindsight": True, "raised": f"{raised}Z"})
    (found,) = judge([late], [], [[attack]]).attacks
    assert (found.after, found.after_all, found.queries) == (3, 4, 4)


def test_an_honest_session_of_an_attacking_client_is_a_false_alert() -> None:
    attack, honest = session("a", "s", [0, 1], [True, True]), session("a", "t", [0, 1])
    outcome = judge([alert("session", "a", "t", 1)], [honest], [[attack]])
    assert outcome.attacks[0].after is None
    (wrong,) = outcome.false_alerts
    assert (wrong.entity, wrong.kinds) == ("session", ("ordinary",))


def test_a_client_alert_finds_what_the_client_has_begun_by_then() -> None:
    attack, honest = session("a", "s", [10, 11], [True, True]), session("a", "t", [0, 1])
    early, late = alert("client", "a", "a", 1), alert("client", "a", "a", 10.5)
    assert judge([late], [honest], [[attack]]).attacks[0].after == 1
    outcome = judge([early], [honest], [[attack]])
    assert outcome.attacks[0].after is None
    assert [wrong.kinds for wrong in outcome.false_alerts] == [("ordinary",)]


def test_a_campaign_alert_names_its_clients_wherever_they_are_listed() -> None:
    members = [session(f"a{i}", f"s{i}", [i, 10 + i], [True, True]) for i in range(3)]
    other = session("c", "u", [0], [True])
    honest = session("b", "t", [0])
    named = {"clients": ["a2", "b"]}
    outcome = judge(
        [alert("campaign", "b", "x", 11, "s1-0001", campaign=named)], [honest], [members, [other]]
    )
    spread, missed = outcome.attacks
    assert (spread.after, spread.sessions, spread.entity) == (5, 3, "campaign")
    assert missed.after is None
    assert outcome.false_alerts == []


def test_a_campaign_of_honest_clients_is_one_false_alert() -> None:
    honest = [session(name, name + "1", [0]) for name in ("b", "c")]
    wrong = alert("campaign", "b", "x", 1, campaign={"clients": ["b", "c"]})
    outcome = judge([wrong, wrong], honest, [])
    assert [(one.entity, one.kinds) for one in outcome.false_alerts] == [("campaign", ("ordinary",))]
    assert outcome.benign_clients == 2
