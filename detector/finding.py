"""What the policy found, and all that the alert document is made of."""

from __future__ import annotations

from dataclasses import dataclass

from detector.profile import ModelProfile
from detector.query import FloatArray, Record


@dataclass(frozen=True, slots=True)
class Campaign:
    """Who takes part: client ids, sorted; number of sessions; time and a mark of the founding query."""

    clients: list[str]
    sessions: int
    founded: float
    mark: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What the policy found at one evaluation point; `record` is the query that triggered it.

    kind: of the entity, see `detector.policy`. queries, entity_start: the entity's. sessions: how many the
    client had begun by then. features [f] now, and their means [f] since the entity became suspicious (None:
    not kept). series: (confidence, distance) of the last queries, None where unknown.
    late: whether the entity was long when the episode began. began: time that it began, the entity's
    `episode`-th.
    """

    kind: int
    model_id: str
    tenant: str
    record: Record
    queries: int
    sessions: int
    entity_start: float
    began: float
    episode: int
    revision: int
    level: int
    evidence: float
    late: bool
    threshold: float
    features: FloatArray
    means: FloatArray | None
    series: tuple[list[float | None], list[float | None]]
    profile: ModelProfile
    campaign: Campaign | None = None
