"""From judged evaluation points to messages: the policy says where one is due, and what it is made of is put
together here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detector import policy
from detector.beginning import Told
from detector.finding import Campaign, Finding, Raised, recognise
from detector.habits import Habits
from detector.links import Links
from detector.policy import Judged
from detector.profile import ModelProfile
from detector.query import FloatArray, IntArray, Record
from detector.settings import Settings
from detector.suspicion import EPISODES, LEVEL, OPEN, REVISION, SILENT, Episodes, recent_series


@dataclass(frozen=True, slots=True)
class Case:
    """Evaluation points [m] of one model, who judges them, and the state that this changes: the episodes of
    each kind of entity; `heard` [clients, KINDS] and `habits` by number of the client; `links`; `suppressed`
    [1], as in `detector.policy.judge`. thresholds [KINDS, 2]. sessions [m]: how many the client had begun by
    then in its stretch. record: gives the query of a point.
    """

    model_id: str
    settings: Settings
    profile: ModelProfile
    thresholds: FloatArray
    kinds: tuple[Episodes, ...]
    heard: IntArray
    habits: Habits
    links: Links
    suppressed: IntArray
    points: Judged
    sessions: IntArray
    record: Callable[[int], Record]

    def messages(self) -> Iterator[int]:
        """The points that call for a message, in order; what is asked of one holds until the next."""
        at = 0
        while True:
            at, event = policy.judge(
                self.kinds,
                self.thresholds,
                self.heard,
                self.habits,
                self.links,
                self.points,
                at,
                self.suppressed,
            )
            if event == policy.NOTHING:
                return
            yield at
            at += 1

    def is_first(self, m: int) -> bool:
        """Whether the message at point m is an episode's first."""
        return int(self.kinds[int(self.points.kind[m])].counts[int(self.points.slots[m]), REVISION]) == 0

    def go_on(self, m: int, told: Told) -> None:
        """The entity of point m goes on in the episode that was `told` of."""
        episodes, s = self.kinds[int(self.points.kind[m])], int(self.points.slots[m])
        episodes.began[s] = told.began
        episodes.counts[s, EPISODES], episodes.counts[s, REVISION] = told.episode, told.revision

    def silence(self, m: int) -> None:
        """Of the episode at point m nothing is told until it grows."""
        self.kinds[int(self.points.kind[m])].counts[int(self.points.slots[m]), SILENT] = 1

    def serial(self, m: int) -> int:
        """Of the entity that point m is of."""
        return int(self.points.meta[m, 2])

    def finding(self, m: int, campaign: Campaign | None = None, raised: Raised | None = None) -> Finding:
        """What the message at point m is about."""
        points, kind, s = self.points, int(self.points.kind[m]), int(self.points.slots[m])
        episodes, record = self.kinds[kind], self.record(m)
        _, start, _, queries = points.meta[m].tolist()
        age = int(episodes.counts[s, OPEN]) - 1
        return Finding(
            kind=kind,
            model_id=self.model_id,
            tenant=record.tenant_id or self.settings.tenant,
            record=record,
            queries=int(queries),
            sessions=int(self.sessions[m]),
            entity_start=start,
            began=float(episodes.began[s]),
            episode=int(episodes.counts[s, EPISODES]),
            revision=int(episodes.counts[s, REVISION]),
            level=int(episodes.counts[s, LEVEL]),
            evidence=float(episodes.evidence[s]),
            late=age == 1,
            threshold=float(self.thresholds[kind, age]),
            habit=float(episodes.allowed[s]),
            features=points.features[m],
            recognised=recognise(self.profile, episodes, s, points.features[m]),
            series=recent_series(episodes, s),
            profile=self.profile,
            campaign=campaign,
            raised=raised,
        )
