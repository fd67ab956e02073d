"""Learning one model's profile from its traffic: a window of evaluations, measured in units that are learned
from a sample of inputs (`detector.input_sample`).

Everything happens at points counted in queries or evaluation points of the shard. Sessions that alerted
do not teach: their rows leave the window before a profile is built from it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from detector.features.inputs import Inputs
from detector.habits import NOBODY
from detector.policy import CAMPAIGN, CLIENT, KIND_NAMES, ODD, OTHERS, SESSION
from detector.profile import ModelProfile, build
from detector.query import IntArray
from detector.rows import NO_ROWS, Rows, joined
from detector.shift import Shift

WINDOW = 16_384
"""Evaluation points that an online profile is built from, the newest ones."""
NEVER = 1 << 62
FIRST_BUILD = 1024
"""Evaluation points before the first profile, and before a given one is renewed: a few hundred sessions of
the deployment's own say more than all that is known of others."""
GROWTH = 2
"""The next profiles follow each time the points have grown so many times over, then after each WINDOW."""
FIRST_SESSIONS, ENOUGH = 200, 4
"""Sessions that the first profile rests on, unless there are ENOUGH times FIRST_BUILD points: fewer lack too
many honest kinds."""
RETRY = 4
"""Where these were too few sessions for a first profile, it is tried again after this part as many points."""


class Window:
    """The newest `size` evaluation points of one kind of entity."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[Rows] = []

    def add(self, rows: Rows) -> None:
        """Keep rows (copied), in order."""
        self._parts.append(rows.copy())
        if len(self._parts) > 256:
            self.rows()

    def rows(self) -> Rows:
        """What is in the window, in order."""
        rows = joined(self._parts or [NO_ROWS]).newest(self._size)
        self._parts = [rows]
        return rows

    def load(self, arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> None:
        """Take over what `Rows` were saved under `prefix`."""
        self._parts = [
            Rows(
                np.asarray(arrays[f"{prefix}/features"], dtype=np.float64),
                np.asarray(arrays[f"{prefix}/entities"], dtype=np.int64),
                np.asarray(arrays[f"{prefix}/owners"], dtype=np.int64),
                np.asarray(arrays[f"{prefix}/points"], dtype=np.int64),
            )
        ]


class Learner:
    """Collects evaluation points and says when a new profile is due.

    `window` bounds the evaluation points kept of each kind of entity. Without `build` no profile is ever
    due. `points` counts those of the sessions. `alerted` are serials of sessions, `clients_alerted` those
    of clients that alerted as such or by odd queries, `clients_with_alerts` those that did so in one of
    their sessions, and `campaigns_alerted` of campaigns. Sessions that look like attacks are in them too,
    once a build has found them.
    """

    def __init__(self, window: int = WINDOW, *, build: bool = True) -> None:
        self.window = window
        self.points = 0
        self.next_build = FIRST_BUILD if build else NEVER
        self.alerted: set[int] = set()
        self.clients_alerted: set[int] = set()
        self.clients_with_alerts: set[int] = set()
        self.campaigns_alerted: set[int] = set()
        self.shift = Shift()
        self._young = False
        self._looked = 0
        self._windows = tuple(Window(window) for _ in KIND_NAMES)

    def alerted_clients(self) -> IntArray:
        """Serials of the clients that alerted, or one of whose sessions did."""
        return _sorted(self.clients_alerted | self.clients_with_alerts)

    def measure_anew(self) -> None:
        """Forget evaluation points that were measured in other units; who alerted is remembered."""
        self._windows = tuple(Window(self.window) for _ in KIND_NAMES)
        self.points = self._looked = 0
        if self.next_build < NEVER:
            self.next_build = FIRST_BUILD

    def forget_alerts(self) -> None:
        """Serials mean others from now on."""
        self.alerted, self.clients_alerted = set(), set()
        self.clients_with_alerts, self.campaigns_alerted = set(), set()

    def room(self) -> int:
        """Evaluation points of sessions until the next build: a batch is cut there."""
        return self.next_build - self.points

    def add(self, rows: Rows, kind: int = SESSION) -> None:
        """Keep evaluation points (copied), in order."""
        self._windows[kind].add(rows)
        if kind == SESSION:
            self.points += len(rows.entities)

    def alert(self, kind: int, entity: int, owner: int) -> None:
        """An entity alerted; `owner` is the serial of its client."""
        if kind == SESSION:
            self.alerted.add(entity)
            self.clients_with_alerts.add(owner)
        elif kind in (CLIENT, ODD):
            self.clients_alerted.add(owner)
        else:
            self.campaigns_alerted.add(entity)
            self.clients_alerted.add(owner)

    def clean(self, kind: int = SESSION, newest: int | None = None) -> Rows:
        """What may teach: the window, or the newest rows of it, without what alerted."""
        rows = self._windows[kind].rows()
        if newest is not None:
            rows = rows.newest(newest)
        kinds = np.full(len(rows.entities), kind)
        return rows.where(~self.alerted_before(kinds, rows.entities, rows.owners))

    def alerted_before(self, kinds: IntArray, entities: IntArray, owners: IntArray) -> npt.NDArray[np.bool_]:
        """Which of the entities with these kinds, serials and clients' serials [n] alerted, or their clients
        did: [n]. A session is not blamed for another one of its client."""
        alerted = np.isin(owners, _sorted(self.clients_alerted))
        alerted |= np.isin(owners, _sorted(self.clients_with_alerts)) & (kinds != SESSION)
        alerted |= np.isin(entities, _sorted(self.alerted)) & (kinds == SESSION)
        alerted |= np.isin(entities, _sorted(self.campaigns_alerted)) & (kinds == CAMPAIGN)
        return alerted

    def _leave_out(self, rows: Rows, sessions: IntArray) -> None:
        """These sessions among `rows` teach nothing, as if they had alerted."""
        self.alerted.update(sessions.tolist())
        self.clients_with_alerts.update(rows.owners[np.isin(rows.entities, sessions)].tolist())

    def build(
        self, inputs: Inputs, judge: ModelProfile | None, begun: int, near: float
    ) -> ModelProfile | None:
        """The next profile, or None when the present one goes on: the window holds too little to do better,
        or the traffic shifts towards attacks (`detector.shift`). That is asked of a profile that was handed
        in, or has learned from a full window: the first ones know too little of the day to say what is odd.

        `begun` counts all sessions so far; `near` links queries. A profile never rests on less than half the
        sessions that the one before it rested on.
        """
        made = self._next(inputs, judge, begun, near)
        first_is_due = judge is None and made is None
        more = self.points // RETRY if first_is_due else (GROWTH - 1) * self.points
        self.next_build = self.points + min(more, self.window)
        return made

    def _next(
        self, inputs: Inputs, judge: ModelProfile | None, begun: int, near: float
    ) -> ModelProfile | None:
        self._young = judge is None or self._young
        if judge is not None and not self._young:
            new = self.clean(newest=self.points - self._looked)
            self._leave_out(new, self.shift.look(judge, new))
        self._looked = self.points
        rows = self.clean()
        kept = [window.rows() for window in self._windows]
        owners = {owner for one in kept for owner in one.owners.tolist()}
        self.alerted &= set(kept[SESSION].entities.tolist())
        self.clients_alerted &= owners
        self.clients_with_alerts &= owners
        self.campaigns_alerted &= set(kept[CAMPAIGN].entities.tolist())
        judged = len(np.unique(rows.entities))
        if judge is not None and (self.shift.held or judged < judge.tail.sessions / 2):
            return None
        if judge is None and judged < FIRST_SESSIONS and self.points < ENOUGH * FIRST_BUILD:
            return None
        self._young = self._young and self.points < self.window
        span = int(rows.entities.max() - rows.entities.min()) + 1 if judged else 0
        sequence = (judge.sequence if judge else 0) + 1
        others = tuple(self.clean(kind) for kind in OTHERS)
        known = judge.habits if judge else NOBODY
        return build(sequence, inputs, rows, min(begun, max(span, judged)), others, near, known=known)

    def state(self) -> tuple[dict[str, object], dict[str, npt.NDArray[np.generic]]]:
        """JSON-ready values and arrays."""
        meta: dict[str, object] = {
            "window": self.window,
            "points": self.points,
            "next_build": self.next_build,
            "alerted": sorted(self.alerted),
            "clients_alerted": sorted(self.clients_alerted),
            "clients_with_alerts": sorted(self.clients_with_alerts),
            "campaigns_alerted": sorted(self.campaigns_alerted),
            "young": self._young,
            "looked": self._looked,
            "excess": self.shift.excess,
            "held": self.shift.held,
        }
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        for name, window in zip(KIND_NAMES, self._windows, strict=True):
            arrays |= {f"{name}/{k}": v for k, v in window.rows()._asdict().items()}
        return meta, arrays

    @classmethod
    def from_state(cls, meta: Mapping[str, object], arrays: Mapping[str, npt.NDArray[np.generic]]) -> Learner:
        """The inverse of `state`."""
        learner = cls(_int(meta["window"]))
        learner.points, learner.next_build = _int(meta["points"]), _int(meta["next_build"])
        learner.alerted = _serials(meta["alerted"])
        learner.clients_alerted = _serials(meta["clients_alerted"])
        learner.clients_with_alerts = _serials(meta["clients_with_alerts"])
        learner.campaigns_alerted = _serials(meta["campaigns_alerted"])
        learner._young, learner._looked = meta["young"] is True, _int(meta["looked"])
        excess = meta["excess"]
        learner.shift = Shift(
            float(excess) if isinstance(excess, float | int) else 0.0, held=meta["held"] is True
        )
        for name, window in zip(KIND_NAMES, learner._windows, strict=True):
            window.load(arrays, name)
        return learner


def _sorted(serials: set[int]) -> IntArray:
    return np.array(sorted(serials), dtype=np.int64)


def _serials(value: object) -> set[int]:
    return {int(v) for v in value} if isinstance(value, list) else set()


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
