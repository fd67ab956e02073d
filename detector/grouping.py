"""One client's flood of alerts: the first of an hour are told each by itself, the others together, counted.

Whoever opens one session after the other and searches in each of them raises an alert in each. Nobody is
served by the hundredth, and it would bury those on others. Alerts on other clients are never held back by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

from detector.alert import Alert

FREE = 10
"""Alerts on one client within an hour of its own time that are told each by itself, with their updates."""
FACTOR = 4
"""What is told together is told again when it has grown so many times over."""
MOST_CLIENTS = 4096
"""Clients whose alerts are counted at a time; the one that alerted first is forgotten."""
RULE = ("querywatch-client-alerts", "Many alerts on one client within an hour, told together")
_HOUR = len("2026-11-24T10")

Key = tuple[str, str, str]
"""Model, tenant, client."""


@dataclass(slots=True)
class Group:
    """The alerts on one client in one hour: how many, and how many when those beyond FREE were last told.

    episodes: those that are told by themselves, with their updates; limited: others were told together, in
    this hour or the one before.
    """

    hour: str
    began: str
    alerts: int = 0
    told: int = FREE
    revision: int = -1
    limited: bool = False
    episodes: list[str] = field(default_factory=list)


class Groups:
    """Alerts of a shard, in order, in; those to be told out. `tenant` is the deployment's."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.withheld = 0
        """Alerts that were told together with others, since this was made or restored."""
        self._groups: dict[Key, Group] = {}

    def take(self, alerts: Iterable[Alert]) -> list[Alert]:
        """What is to be told instead of these, in order."""
        told = []
        for alert in alerts:
            # A campaign's is one alert on many clients already.
            one = self._take(alert) if "user" in alert.document else alert
            if one is not None:
                told.append(one)
        return told

    def _take(self, alert: Alert) -> Alert | None:
        document = alert.document
        key = (
            document["service"]["name"],
            document.get("organization", {}).get("id", ""),
            document["user"]["id"],
        )
        episode = document["event"]["id"]
        if document["event"]["sequence"]:
            group = self._groups.get(key)
            return alert if group is None or not group.limited or episode in group.episodes else None
        group = self._of(key, document["@timestamp"])
        group.alerts += 1
        if group.alerts <= FREE:
            group.episodes.append(episode)
            return alert
        group.limited = True
        self.withheld += 1
        if group.revision >= 0 and group.alerts - FREE < FACTOR * (group.told - FREE):
            return None
        group.told, group.revision = group.alerts, group.revision + 1
        return _together(alert, (self.tenant, *key), group)

    def _of(self, key: Key, time: str) -> Group:
        """The group of a client at this time: the one before, or that of a new hour."""
        before = self._groups.get(key)
        if before is not None and time[:_HOUR] <= before.hour:
            return before
        group = Group(time[:_HOUR], time)
        if before is not None and before.alerts > FREE:
            group.limited, group.episodes = True, before.episodes[-FREE:]
        self._groups.pop(key, None)
        if len(self._groups) >= MOST_CLIENTS:
            del self._groups[next(iter(self._groups))]
        self._groups[key] = group
        return group

    def state(self) -> list[Any]:
        """JSON-ready."""
        return [[*key, asdict(group)] for key, group in self._groups.items()]

    @classmethod
    def from_state(cls, state: Iterable[Any], tenant: str) -> Groups:
        """The inverse of `state`."""
        groups = cls(tenant)
        for *key, fields in state:
            model, organization, client = key
            groups._groups[model, organization, client] = Group(**fields)
        return groups


def _together(alert: Alert, parts: tuple[str, ...], group: Group) -> Alert:
    """The alert that stands for all beyond the first, or its update: the newest of them, with the count.

    `parts` say whose it is.
    """
    document = deepcopy(alert.document)
    event, ours = document["event"], document["querywatch"]
    name = "\x1f".join((*parts, RULE[0], group.hour))
    episode = hashlib.sha256(name.encode()).hexdigest()[:32]
    first = group.revision == 0
    document["message"] = RULE[1]
    document["rule"] |= {"id": RULE[0], "name": RULE[1]}
    event |= {
        "kind": "alert" if first else "event",
        "id": episode,
        "action": "alerts-grouped" if first else "alert-updated",
        "start": group.began,
        "sequence": group.revision,
        "reason": f"{group.alerts} alerts on this client since {group.began}; those beyond the first {FREE} "
        f"are told here, with their number. The newest: {event['reason']}",
    }
    del event["duration"]
    ours["alert"] = {"revision": group.revision, "status": "open"}
    ours["group"] = {"alerts": group.alerts}
    document_id = hashlib.sha256(f"{episode}\x1f{group.revision}".encode()).hexdigest()[:40]
    return Alert(document_id, document, alert.offset)
