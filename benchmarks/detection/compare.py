"""querywatch and peers by one rule: an alarm is raised on a query, and counts for that query's session.

A peer says for every query whether it raised an alarm. An alert of querywatch, whatever entity it is about,
is an alarm on the query that triggered it. An alarm on any query of an attack's sessions finds the attack;
a benign session with an alarm is a false one. False alarms are counted where there are no attacks at all:
a detector that watches all clients together would else be blamed for what attackers sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from benchmarks.detection.judge import Found
from benchmarks.detection.peers import Peer, Stream
from benchmarks.traces.log import Session
from benchmarks.traces.recording import BoolArray
from benchmarks.traces.targets import Target


class FalseAlarms(msgspec.Struct, frozen=True):
    """Per benign client: its sessions, those with an alarm, and those with an alarm on a query that is no
    exact copy of an earlier one (retries, health checks, and the same row sent by two clients, which small
    data sets make common)."""

    sessions: list[int]
    alarmed: list[int]
    anew: list[int]


def peer_alarms(
    peer: Peer, targets: Sequence[Target], history: Sequence[Session], sessions: Sequence[Session]
) -> list[BoolArray]:
    """For each session, which of its queries raised an alarm."""
    alarm = _silence(sessions)
    for target in targets:
        stream = Stream.of(target, sessions)
        if len(stream):
            alarms = peer.alarms(Stream.of(target, history), stream)
            for session, mine in stream.by_session():
                alarm[session] = alarms[mine]
    return alarm


def alert_alarms(documents: Iterable[dict[str, Any]], sessions: Sequence[Session]) -> list[BoolArray]:
    """The same of our alerts, ECS documents: an alarm on the query that triggered each."""
    alarm = _silence(sessions)
    place = {(s.model_id, s.request_prefix): number for number, s in enumerate(sessions)}
    for document in documents:
        prefix, _, position = document["querywatch"]["trigger"]["request_id"].partition("-")
        alarm[place[document["service"]["name"], prefix]][int(position, 16)] = True
    return alarm


def found(alarms: Sequence[BoolArray], attacks: Sequence[Sequence[Session]]) -> list[Found]:
    """The attacks, each with its first alarm; `alarms` of all their sessions in order."""
    result, position = [], 0
    for sessions in attacks:
        result.append(_found(sessions, alarms[position : position + len(sessions)]))
        position += len(sessions)
    return result


def false_alarms(
    alarms: Sequence[BoolArray], targets: Sequence[Target], benign: Sequence[Session]
) -> FalseAlarms:
    """`alarms` of the benign sessions, by client."""
    first = _silence(benign)
    for target in targets:
        stream = Stream.of(target, benign)
        new = np.zeros(len(stream), dtype=np.bool_)
        new[np.unique(stream.unit, axis=0, return_index=True)[1]] = True
        for session, mine in stream.by_session():
            first[session] = new[mine]
    clients: dict[tuple[str, str], int] = {}
    who = np.array([clients.setdefault((s.model_id, s.client_id), len(clients)) for s in benign], dtype=int)
    any_alarm = np.array([bool(a.any()) for a in alarms])
    anew = np.array([bool((a & f).any()) for a, f in zip(alarms, first, strict=True)])
    counts = [np.bincount(who[mask], minlength=len(clients)).tolist() for mask in (any_alarm, anew)]
    return FalseAlarms(np.bincount(who).tolist(), *counts)


def _silence(sessions: Sequence[Session]) -> list[BoolArray]:
    return [np.zeros(len(s.times), dtype=np.bool_) for s in sessions]


def _found(sessions: Sequence[Session], alarm: Sequence[BoolArray]) -> Found:
    order = np.argsort(np.concatenate([s.times for s in sessions]), kind="stable")
    own = np.cumsum(np.concatenate([s.own for s in sessions])[order])
    hits = np.flatnonzero(np.concatenate(alarm)[order])
    first = sessions[0]
    return Found(
        kind=first.kind,
        family=first.family,
        model_id=first.model_id,
        sessions=len(sessions),
        queries=int(own[-1]),
        after=int(own[hits[0]]) if hits.size else None,
        after_all=int(hits[0]) + 1 if hits.size else None,
    )
