"""In hindsight: what went by before a model had its first profile is judged again by that profile.

Until then the prior judges, which is careful, or nobody does. What it let pass is at hand as evaluation
points: those of sessions, clients and odd queries, as far as they were measured in the units of the profile,
are remembered until there is one, then go through the policy once more as if it had been there. Campaigns
do not: who took part in them is not kept. A message says that it comes late, and by how much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector import habits, links, remembered, suspicion
from detector.clients import ClientTable
from detector.columns import QueryBatch
from detector.entities import Entities
from detector.features.layout import evaluations
from detector.finding import Finding, Raised
from detector.learner import WINDOW, Learner
from detector.messages import Case
from detector.points import Points, Work, in_order
from detector.policy import CAMPAIGN, KINDS, Judged
from detector.profile import ModelProfile
from detector.query import FloatArray, IntArray, Record
from detector.settings import Settings
from models.base import Arrays

MOST = WINDOW
"""Evaluation points that are remembered, the newest ones."""
SHARE = 0.5
"""Of the false-alert budget for what comes before the first profile: who is judged twice, by the prior as
queries come and in hindsight, is judged by half of it each time."""


class Seen(NamedTuple):
    """Evaluation points [m] in the order of their queries: kind and slot of the entity; number and serial of
    its client; number of the query and its time; meta [m, 4], features [m, f] and series [m, RECENT, 2] as
    in `detector.policy.Judged`; sessions of the client so far."""

    kind: IntArray
    slot: IntArray
    client: IntArray
    serial: IntArray
    when: IntArray
    time: FloatArray
    meta: FloatArray
    features: FloatArray
    series: FloatArray
    sessions: IntArray

    def entities(self) -> IntArray:
        """Serials of the entities [m]; those of different kinds may be equal."""
        return self.meta[:, 2].astype(np.int64)


class Past:
    """The newest evaluation points of one model, and of each the query, without its input and answer."""

    def __init__(self, model_id: str) -> None:
        self._model_id = model_id
        self._parts: list[Seen] = []
        self._queries: list[Record] = []

    def add(
        self, parts: list[tuple[int, Points]], batch: QueryBatch, work: Work, serials: IntArray, first: int
    ) -> None:
        """Remember these points, by kind; serials of the clients by their numbers; query 0 of the batch has
        the number `first`."""
        kind, points = in_order([(which, part) for which, part in parts if which != CAMPAIGN])
        if not len(points):
            return
        rows = points.rows.copy()
        client = work.owner[rows]
        self._parts.append(
            Seen(
                kind,
                points.slots.copy(),
                client,
                serials[client],
                first + rows,
                batch.timestamps[rows],
                points.meta.copy(),
                points.features.copy(),
                points.series.copy(),
                work.sessions[rows],
            )
        )
        self._queries += remembered.remember(batch.records.take(rows))
        if len(self._queries) > 2 * MOST:
            self._newest()

    def _newest(self) -> Seen:
        """The newest MOST points; older ones are forgotten."""
        columns = (np.concatenate(column)[-MOST:] for column in zip(*self._parts, strict=True))
        seen = Seen(*columns)
        self._parts, self._queries = [seen], self._queries[-MOST:]
        return seen

    def again(self, profile: ModelProfile, settings: Settings, learner: Learner) -> Hindsight | None:
        """What is remembered, to be judged by `profile`; None: there is nothing."""
        if not self._parts:
            return None
        seen = self._newest()
        clients, client = np.unique(seen.serial, return_inverse=True)
        slots, kinds = np.zeros(len(seen.kind), dtype=np.int64), []
        for kind in range(KINDS):
            own = seen.kind == kind
            serials, slots[own] = np.unique(seen.entities()[own], return_inverse=True)
            kinds.append(suspicion.allocate(len(serials)))
        first = int(seen.when[0])
        queries = int(seen.when[-1]) - first + 1
        points = Judged(
            kind=seen.kind,
            slots=slots,
            owner=client.astype(np.int64),
            when=seen.when,
            times=seen.time,
            meta=seen.meta,
            features=seen.features,
            scores=profile.scores(seen.kind, seen.features, evaluations(seen.meta[:, 0])),
            series=seen.series,
            campaign=np.full(queries, -1, dtype=np.int64),
            sender=np.zeros(queries, dtype=np.int64),
            first=first,
        )
        case = Case(
            self._model_id,
            settings,
            profile,
            profile.thresholds(SHARE * settings.budget),
            tuple(kinds),
            np.full((len(clients), KINDS), -1, dtype=np.int64),
            habits.none_of(len(clients)),
            links.allocate(1, 1, 1),
            np.zeros(1, dtype=np.int64),
            points,
            seen.sessions,
            self._queries.__getitem__,
        )
        return Hindsight(case, seen, learner)

    def state(self) -> Arrays:
        """Everything, as arrays."""
        if not self._parts:
            return {}
        seen = self._newest()
        return {**seen._asdict(), "queries": remembered.pack(self._queries)}

    def load(self, arrays: Arrays) -> None:
        """The inverse of `state`."""
        if not arrays:
            return
        columns: list[Any] = [np.array(arrays[name]) for name in Seen._fields]
        self._parts = [Seen(*columns)]
        self._queries = remembered.unpack(arrays["queries"], self._model_id)


class Hindsight:
    """Evaluation points that are judged again. An entity that alerted before, or whose client did by what
    `learner` knows, is told of no more, and goes on as it is."""

    def __init__(self, case: Case, seen: Seen, learner: Learner) -> None:
        self._case, self._seen, self._learner = case, seen, learner
        self._told = learner.alerted_before(seen.kind, seen.entities(), seen.serial)

    def findings(self, raised: Raised) -> Iterator[Finding]:
        """The messages that are due, in order; the learner hears of what alerts."""
        case, seen = self._case, self._seen
        for m in case.messages():
            if self._told[m]:
                continue
            self._learner.alert(int(seen.kind[m]), case.serial(m), int(seen.serial[m]))
            if case.record(m).client_id not in case.settings.declared:
                yield case.finding(m, raised=raised)

    def hand_over(self, entities: Sequence[Entities], clients: ClientTable) -> None:
        """Once all findings are made: entities that are still open go on with the evidence and the episode
        that they have by now, and their clients are heard of."""
        case, seen = self._case, self._seen
        for kind, own in enumerate(entities):
            rows = _last_of_each(case.points.slots, (seen.kind == kind) & ~self._told)
            own.take_over(seen.slot[rows], seen.entities()[rows], case.kinds[kind], case.points.slots[rows])
        rows = _last_of_each(case.points.owner, ~self._told)
        clients.hear(seen.client[rows], seen.serial[rows], case.heard[case.points.owner[rows]])


def _last_of_each(whose: IntArray, among: npt.NDArray[np.bool_]) -> IntArray:
    """The last of the points [m] of each entity or client among some of them."""
    rows = np.flatnonzero(among)[::-1]
    return rows[np.unique(whose[rows], return_index=True)[1]]
