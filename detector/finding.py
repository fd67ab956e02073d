"""What the policy found, and all that the alert document is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detector.profile import ModelProfile
from detector.query import FloatArray, Record
from detector.suspicion import Episodes, feature_means, mean_opinion


@dataclass(frozen=True, slots=True)
class Campaign:
    """Who takes part: client ids, sorted; number of sessions; time and a mark of the founding query."""

    clients: list[str]
    sessions: int
    founded: float
    mark: int


class Raised(NamedTuple):
    """Time and offset of the query at which an alert was raised on what an earlier one showed: in hindsight
    (`detector.hindsight`)."""

    time: float
    offset: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What the policy found at one evaluation point; `record` is the query that triggered it.

    kind: of the entity, see `detector.policy`. queries, entity_start: the entity's. sessions: how many the
    client had begun by then in its stretch. features [f] now; recognised: the share of each attack family, if
    there is a recogniser. series: (confidence, distance) of the last queries, None where unknown.
    late: whether the entity was long when the episode began. began: time that it began, the entity's
    `episode`-th. habit: what the client's habit took off each score (`detector.habits`). raised: None unless
    that was later than at `record`.
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
    habit: float
    features: FloatArray
    recognised: Mapping[str, float]
    series: tuple[list[float | None], list[float | None]]
    profile: ModelProfile
    campaign: Campaign | None = None
    raised: Raised | None = None


def recognise(profile: ModelProfile, episodes: Episodes, s: int, features: FloatArray) -> dict[str, float]:
    """The share of each attack family by the recogniser, averaged over the messages of the episode of the
    entity in slot s, of which one is due at a point with these features [f]; empty without a recogniser."""
    shares = profile.ensemble.attack_families(features, feature_means(episodes, s))
    if not shares:
        return shares
    mean = mean_opinion(episodes, s, np.array(list(shares.values())))
    return dict(zip(shares, mean.tolist(), strict=True))
