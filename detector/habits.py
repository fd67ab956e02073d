"""Each regular client's own habit: who has long been odd in some way, without an alert, surprises less.

A habit is by how much a client's sessions score higher than benign ones usually do, on average over their
first evaluation points. It is taken off the scores of sessions that begin later, off those of the client as
an entity of its own and of its part in a campaign, and there is little of it: nothing before `LEAST`
sessions, a share n / (n + `PRIOR`) of the average of n sessions afterwards (shrinkage towards the crowd,
Efron and Morris 1973), and never more than `MOST`. So who trains it for months wins `MOST` a point, where
attacks score several times that above what is usual. An alert takes it away.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.evidence import USUAL_SCORE
from detector.keys import Keys
from detector.query import FloatArray, IntArray
from models.base import Arrays
from models.compiled import inlined, jit

LEAST, PRIOR = 3, 3
"""Sessions before there is a habit, and sessions without one that it is averaged with."""
MOST = 0.5
"""What a habit takes off a score at most."""
OF_SESSION = 16
"""Evaluation points of a session that count, its first ones: a very long one is no habit."""
HIGHEST = 6.0
"""No score counts for more."""
MEMORY = 512
"""Evaluation points from which older ones count half."""
KEPT = 4096
"""Clients whose habits a profile keeps, those with most sessions."""


class Habits(NamedTuple):
    """By number of the client [n]: sessions and evaluation points that counted, int32, and the sum of what
    these scored above `USUAL_SCORE`, float32."""

    sessions: npt.NDArray[np.int32]
    points: npt.NDArray[np.int32]
    excess: npt.NDArray[np.float32]

    def take(self, rows: IntArray) -> Habits:
        """Those of some clients."""
        return Habits(self.sessions[rows], self.points[rows], self.excess[rows])


def none_of(clients: int) -> Habits:
    """Of so many clients that nothing is known of."""
    return Habits(
        np.zeros(clients, dtype=np.int32),
        np.zeros(clients, dtype=np.int32),
        np.zeros(clients, dtype=np.float32),
    )


@inlined
def allowance(habits: Any, client: int) -> float:
    """What the habit of that client takes off a score, in [0, MOST]."""
    n = habits.sessions[client]
    if n < LEAST or habits.points[client] == 0:
        return 0.0
    mean = habits.excess[client] / habits.points[client]
    return float(min(max(mean * n / (n + PRIOR), 0.0), MOST))


@inlined
def see_score(habits: Any, client: int, score: float, point: int) -> None:
    """Account for the score of the `point`-th evaluation point of one of its sessions, from 1."""
    if point == 1:
        habits.sessions[client] += 1
    if point > OF_SESSION or np.isnan(score):
        return
    if habits.points[client] >= MEMORY:
        habits.points[client] //= 2
        habits.excess[client] *= 0.5
    habits.points[client] += 1
    habits.excess[client] += min(score, HIGHEST) - USUAL_SCORE


@inlined
def forget_habit(habits: Any, client: int) -> None:
    """Nothing is known of that client."""
    habits.sessions[client] = 0
    habits.points[client] = 0
    habits.excess[client] = 0.0


@jit
def _follow(scores: Any, entity: Any, owner: Any, habits: Any, points: Any, taken: Any, out: Any) -> None:
    for i in range(scores.shape[0]):
        e, client = entity[i], owner[i]
        points[e] += 1
        if points[e] == 1:
            taken[e] = allowance(habits, client)
        out[i] = taken[e]
        see_score(habits, client, scores[i], points[e])


def follow(scores: FloatArray, sessions: IntArray, owners: IntArray) -> tuple[FloatArray, Habits, IntArray]:
    """What habits would have taken off the scores [n] of evaluation points of sessions [n] of clients
    `owners` [n], in time order: [n]; and the habits in the end, with the clients [m] that they are of."""
    clients, owner = np.unique(owners, return_inverse=True)
    serials, entity = np.unique(sessions, return_inverse=True)
    habits, out = none_of(len(clients)), np.zeros(len(scores))
    seen, taken = np.zeros(len(serials), dtype=np.int64), np.zeros(len(serials))
    _follow(scores, entity.astype(np.int64), owner.astype(np.int64), habits, seen, taken, out)
    return out, habits, clients


@jit
def _allowances(habits: Any, out: Any) -> None:
    for client in range(out.shape[0]):
        out[client] = allowance(habits, client)


def allowances(habits: Habits) -> FloatArray:
    """What each habit takes off a score: [n], in [0, MOST]."""
    out = np.zeros(len(habits.sessions))
    _allowances(habits, out)
    return out


class Known(NamedTuple):
    """Habits [k] with the keys [k, 2] of their clients, ascending by both words: what a profile keeps."""

    keys: Keys
    habits: Habits

    @classmethod
    def of(cls, keys: Keys, habits: Habits) -> Known:
        """Of the clients with these keys [n, 2] those KEPT that have most sessions."""
        most = np.lexsort((keys[:, 1], keys[:, 0], -habits.sessions))[:KEPT]
        kept = most[np.lexsort((keys[most, 1], keys[most, 0]))]
        return cls(np.ascontiguousarray(keys[kept]), habits.take(kept))

    def look_up(self, keys: Keys) -> tuple[IntArray, IntArray]:
        """Which of the keys [n, 2] are known: their rows there, and here."""
        if not len(self.keys) or not len(keys):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        at = np.minimum(np.searchsorted(self.keys[:, 0], keys[:, 0]), len(self.keys) - 1)
        rows = np.flatnonzero((self.keys[at] == keys).all(axis=1))
        return rows, at[rows]

    def to_arrays(self) -> Arrays:
        """Keys and columns."""
        return {"keys": self.keys, **self.habits._asdict()}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Known:
        """The inverse of `to_arrays`."""
        return cls(
            np.asarray(arrays["keys"], dtype=np.uint64),
            Habits(
                np.asarray(arrays["sessions"], dtype=np.int32),
                np.asarray(arrays["points"], dtype=np.int32),
                np.asarray(arrays["excess"], dtype=np.float32),
            ),
        )


NOBODY = Known(np.zeros((0, 2), dtype=np.uint64), none_of(0))
"""No habit of anybody."""
