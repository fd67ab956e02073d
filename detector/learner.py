"""Learning one model's profile from its traffic: a sample of inputs first, then a window of evaluations.

Everything happens at points counted in queries or evaluation points of the shard. Sessions that alerted
do not teach: their rows leave the window before a profile is built from it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from detector.features import inputs as units
from detector.features.catalogue import NAMES
from detector.features.inputs import Inputs
from detector.profile import ModelProfile, build
from detector.query import FloatArray, IntArray

SAMPLE_QUERIES = 1024
"""Inputs seen before units are learned from them, when nothing was handed in."""
SAMPLE_ROWS = 4096
"""Inputs kept at most, drawn evenly from all that came."""
SAMPLE_NUMBERS = 2**23
"""Numbers kept at most in that sample; long inputs are sampled more thinly."""
WINDOW = 16_384
"""Evaluation points that an online profile is built from, the newest ones."""
NEVER = 1 << 62
FIRST_BUILD = 1024
"""Evaluation points before the first profile."""
GROWTH = 4
"""The next profiles follow each time the points have grown so many times over, then after each WINDOW."""


class InputSample:
    """An even random sample of the inputs seen (Vitter's algorithm R, 1985, with a fixed generator)."""

    def __init__(self, d: int) -> None:
        self.rows: FloatArray = np.empty((0, d))
        self.seen = 0
        self._most = max(64, min(SAMPLE_ROWS, SAMPLE_NUMBERS // d))

    def add(self, x: FloatArray) -> None:
        """See rows x [n, d], in order."""
        room = max(0, self._most - len(self.rows))
        if room:
            self.rows = np.vstack([self.rows, x[:room]])
        for i in range(room, len(x)):
            place = _draw(self.seen + i + 1)
            if place < self._most:
                self.rows[place] = x[i]
        self.seen += len(x)


def _draw(n: int) -> int:
    """A fixed pseudo-random number in [0, n) that depends on n only (splitmix64)."""
    mask = (1 << 64) - 1
    z = (n * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return int((z ^ (z >> 31)) % n)


class Learner:
    """Collects evaluation points and says when a new profile is due.

    `window` bounds the evaluation points kept. Without `build`, no profile is ever due.
    """

    def __init__(self, window: int = WINDOW, *, build: bool = True) -> None:
        self.window = window
        self.points = 0
        self.next_build = FIRST_BUILD if build else NEVER
        self.alerted: set[int] = set()
        self._features: list[FloatArray] = []
        self._sessions: list[IntArray] = []

    def room(self) -> int:
        """Evaluation points until the next build: a batch is cut there."""
        return self.next_build - self.points

    def add(self, features: FloatArray, sessions: IntArray) -> None:
        """Keep evaluation points (copied), in order."""
        self._features.append(features.copy())
        self._sessions.append(sessions.astype(np.int64))
        self.points += len(features)
        if len(self._features) > 256:
            self._compact()

    def _compact(self) -> tuple[FloatArray, IntArray]:
        if self._features:
            x = np.vstack(self._features)[-self.window :]
            s = np.concatenate(self._sessions)[-self.window :]
        else:
            x, s = np.empty((0, len(NAMES))), np.empty(0, dtype=np.int64)
        self._features, self._sessions = [x], [s]
        return x, s

    def clean(self) -> tuple[FloatArray, IntArray]:
        """What may teach: the window without the sessions that alerted."""
        x, s = self._compact()
        keep = ~np.isin(s, np.array(sorted(self.alerted), dtype=np.int64))
        return x[keep], s[keep]

    def build(self, inputs: Inputs, judge: ModelProfile | None, begun: int) -> ModelProfile | None:
        """The next profile, or None when the window holds too little to do better than the present one.

        `begun` counts all sessions so far. A profile never rests on less than half the sessions that the
        one before it rested on.
        """
        self.next_build = self.points + min((GROWTH - 1) * self.points, self.window)
        x, s = self.clean()
        self.alerted &= set(s.tolist()) | {int(v) for v in self._sessions[0]}
        judged = len(np.unique(s))
        if judge is not None and judged < judge.tail.sessions / 2:
            return None
        span = int(s.max() - s.min()) + 1 if len(s) else 0
        return build((judge.sequence if judge else 0) + 1, inputs, x, s, min(begun, max(span, judged)))

    def state(self) -> tuple[dict[str, object], dict[str, npt.NDArray[np.generic]]]:
        """JSON-ready values and arrays."""
        x, s = self._compact()
        meta = {
            "window": self.window,
            "points": self.points,
            "next_build": self.next_build,
            "alerted": sorted(self.alerted),
        }
        return meta, {"features": x, "sessions": s}

    @classmethod
    def from_state(cls, meta: Mapping[str, object], arrays: Mapping[str, npt.NDArray[np.generic]]) -> Learner:
        """The inverse of `state`."""
        learner = cls(_int(meta["window"]))
        learner.points, learner.next_build = _int(meta["points"]), _int(meta["next_build"])
        alerted = meta["alerted"]
        learner.alerted = {int(v) for v in alerted} if isinstance(alerted, list) else set()
        learner._features = [np.asarray(arrays["features"], dtype=np.float64)]
        learner._sessions = [np.asarray(arrays["sessions"], dtype=np.int64)]
        return learner


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def learn_units(sample: InputSample) -> Inputs:
    """Units from a sample of inputs."""
    return units.learn(sample.rows)
