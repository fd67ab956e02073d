"""Alerts against the truth: which attacks were found, after how many of their queries, and what was false.

An alert names a session, a client, or the clients of a campaign. It finds every attack that one of these
belongs to, and is false if it names only what is benign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from benchmarks.traces.log import Session


class Found(msgspec.Struct, frozen=True):
    """An attack, and the first alert that found it: the attack's own queries until then (None: missed),
    ordinary ones included, the technique and kind of entity that it named; and the technique that the last
    alert or revision named. `natural`: it writes rows as the data's own source does."""

    kind: str
    family: str
    model_id: str
    sessions: int
    queries: int
    after: int | None = None
    after_all: int | None = None
    technique: str = ""
    entity: str = ""
    in_the_end: str = ""
    natural: bool = False


class FalseAlert(msgspec.Struct, frozen=True):
    """A false alert: the kind of entity, its id, and the kinds of benign sessions behind it."""

    entity: str
    id: str
    model_id: str
    kinds: tuple[str, ...]
    queries: int


class Outcome(msgspec.Struct, frozen=True):
    """What one replay gave; `benign` sessions by kind."""

    attacks: list[Found]
    false_alerts: list[FalseAlert]
    benign: dict[str, int]
    benign_clients: int


class _Attack:
    """One attack's sessions, and its queries in the order in which they were sent."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = sessions
        self.first = min(float(s.times[0]) for s in sessions)
        self.found: Found | None = None
        times = np.concatenate([s.times for s in sessions])
        order = np.argsort(times, kind="stable")
        self._times = times[order]
        self._own = np.cumsum(np.concatenate([s.own for s in sessions])[order])
        ids = [f"{s.request_prefix}-{i:04x}" for s in sessions for i in range(len(s.times))]
        self._place = {ids[row]: place for place, row in enumerate(order.tolist())}

    def notice(self, document: dict[str, Any], time: float) -> None:
        """Take the alert as what found the attack, unless one did before, and as the last word so far."""
        ours = document["querywatch"]
        if self.found is None:
            late = ours.get("alert", {}).get("raised")
            if late is not None:  # in hindsight: all that had been sent by then is spent
                time = max(time, seconds(late))
            last = int(np.searchsorted(self._times, time + 5e-4, side="right")) - 1
            place = last if late is not None else self._place.get(ours["trigger"]["request_id"], last)
            self.found = self._result(
                int(self._own[place]), place + 1, ours["technique"]["name"], ours["entity"]["kind"]
            )
        self.found = msgspec.structs.replace(self.found, in_the_end=ours["technique"]["name"])

    def result(self) -> Found:
        """The attack, found or not."""
        return self.found or self._result(None, None, "", "")

    def _result(self, after: int | None, after_all: int | None, technique: str, entity: str) -> Found:
        first = self.sessions[0]
        return Found(
            kind=first.kind,
            family=first.family,
            model_id=first.model_id,
            sessions=len(self.sessions),
            queries=int(self._own[-1]),
            after=after,
            after_all=after_all,
            technique=technique,
            entity=entity,
            natural=first.natural,
        )


def seconds(time: str) -> float:
    """Since the epoch, of a time as alerts write it."""
    return float(np.datetime64(time[:-1]).astype("M8[us]").astype(np.int64)) / 1e6


def named_clients(document: dict[str, Any]) -> set[str]:
    """All clients that an alert names."""
    listed = document["querywatch"].get("campaign", {}).get("clients")
    named = [document.get("user", {}).get("id"), *document.get("related", {}).get("user", [])]
    return {name for name in [*named, *(listed if isinstance(listed, list) else [])] if name}


def judge(
    alerts: Iterable[dict[str, Any]], benign: Sequence[Session], attacks: Sequence[Sequence[Session]]
) -> Outcome:
    """`alerts` are ECS documents in their order; `attacks` the sessions of each."""
    known = [_Attack(sessions) for sessions in attacks]
    by_session = {(s.model_id, s.client_id, s.session_id): a for a in known for s in a.sessions}
    by_client: dict[tuple[str, str], list[_Attack]] = {}
    for attack in known:
        for model_id, client in {(s.model_id, s.client_id) for s in attack.sessions}:
            by_client.setdefault((model_id, client), []).append(attack)
    kinds = {(s.model_id, s.client_id, s.session_id): s.kind for s in benign}
    of_client: dict[tuple[str, str], set[str]] = {}
    for (model_id, client, _), kind in kinds.items():
        of_client.setdefault((model_id, client), set()).add(kind)
    false: dict[tuple[str, str, str], FalseAlert] = {}
    for document in alerts:
        ours, model_id = document["querywatch"], document["service"]["name"]
        entity, at = ours["entity"]["kind"], seconds(document["@timestamp"])
        if entity == "session":
            session = (model_id, document["user"]["id"], ours["session"]["id"])
            hit = [by_session[session]] if session in by_session else []
            blamed = [kinds[session]] if session in kinds else []
        else:
            clients = [(model_id, client) for client in sorted(named_clients(document))]
            hit = [a for client in clients for a in by_client.get(client, []) if a.first <= at + 5e-4]
            blamed = sorted({kind for client in clients for kind in of_client.get(client, ())})
        for attack in hit:
            attack.notice(document, at)
        if not hit:
            identity = (model_id, entity, f"{document.get('user', {}).get('id', '')} {ours['entity']['id']}")
            queries = int(ours.get("session", {}).get("queries", 0))
            false.setdefault(identity, FalseAlert(entity, identity[2], model_id, tuple(blamed), queries))
    counts: dict[str, int] = {}
    for s in benign:
        counts[s.kind] = counts.get(s.kind, 0) + 1
    return Outcome([a.result() for a in known], list(false.values()), counts, len(of_client))
