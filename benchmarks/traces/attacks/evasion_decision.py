"""Decision-based evasion: only labels are read. Sign-OPT, GeoDA, and a search that widens its steps."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from detector.query import FloatArray


def sign_opt(attacker: Attacker) -> None:
    """ART's Sign-OPT: signs of the change of the distance to the boundary along random directions."""
    classifier = attacker.art_classifier(least_classes=3)
    from art.attacks.evasion import SignOPTAttack

    rng = attacker.rng
    settings = {
        "targeted": False,
        "epsilon": float(rng.choice([0.001, 0.01, 0.1])),
        "num_trial": int(rng.choice([10, 30, 100])),
        "k": int(rng.choice([20, 50, 200])),
        "verbose": False,
    }
    for source in attacker.own_rows()[0]:
        with attacker.seeded_numpy():
            SignOPTAttack(classifier, **settings).generate(source[None].astype(np.float32))


class Decisions:
    """One source row: is an input taken for another class than it?"""

    def __init__(self, attacker: Attacker, source: FloatArray) -> None:
        self.attacker, self.source, self.rng = attacker, source, attacker.rng
        self.label = int(attacker.ask(source[None])[0].argmax())

    def flips(self, x: FloatArray) -> FloatArray:
        """+1 where rows [n, d] are taken for another class, -1 where not."""
        labels = self.attacker.ask(np.clip(x, 0.0, 1.0)).argmax(axis=1)
        return np.where(labels != self.label, 1.0, -1.0)

    def far(self, step: float = 0.02) -> FloatArray:
        """Growing noise on the source until the label flips."""
        size = step
        while True:
            x = np.clip(self.source + size * self.rng.normal(size=self.source.size), 0.0, 1.0)
            if self.flips(x[None])[0] > 0:
                return x
            size += step

    def back(self, x: FloatArray, tolerance: float) -> FloatArray:
        """Binary search from x towards the source: the nearest point that still flips."""
        low, high = 0.0, 1.0
        while (high - low) * np.linalg.norm(x - self.source) > tolerance:
            middle = (low + high) / 2
            if self.flips((self.source + middle * (x - self.source))[None])[0] > 0:
                high = middle
            else:
                low = middle
        return self.source + high * (x - self.source)


def geo_da(attacker: Attacker) -> None:
    """GeoDA: the boundary taken as flat; its normal from tiny noise round one boundary point, then straight
    along the normal to the boundary again."""
    rng = attacker.rng
    sigma = float(rng.choice([0.002, 0.01, 0.05]))
    each = int(rng.choice([20, 50, 80]))
    for source in attacker.own_rows()[0]:
        one = Decisions(attacker, source)
        boundary = one.back(one.far(), 0.01)
        normal = np.zeros(source.size)
        for step in range(5):
            noise = sigma * rng.normal(size=(round(each * 1.4**step), source.size))
            normal += (one.flips(boundary + noise)[:, None] * noise).mean(axis=0)
            direction = normal / max(float(np.linalg.norm(normal)), 1e-12)
            reach = 0.02
            while one.flips((source + reach * direction)[None])[0] < 0 and reach < 4.0:
                reach *= 1.5
            if reach < 4.0:
                boundary = one.back(np.clip(source + reach * direction, 0.0, 1.0), 0.01)


class _Oracle:
    """The defence that the attacker expects (Chen et al. 2020, one neighbour): a query that is nearer to an
    earlier one than honest rows are to each other would be refused."""

    def __init__(self, attacker: Attacker, share: float) -> None:
        rows = attacker.own_rows()[0][:60]
        away = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        near = np.where(np.eye(len(rows), dtype=np.bool_), np.inf, away).min(axis=1)
        self.radius = share * float(np.median(near))
        self.sent: list[FloatArray] = []

    def refuses(self, x: FloatArray) -> bool:
        """True when x [d] is too near; it is remembered either way, since it is sent either way."""
        near = min((float(np.linalg.norm(x - other)) for other in self.sent), default=np.inf)
        self.sent.append(x)
        return near < self.radius


def step_widening(attacker: Attacker) -> None:
    """OARS with HopSkipJump: the noise round a boundary point is widened, by bisection, until few queries
    are near enough to an earlier one to be refused; then gradient estimates with noise of that size, refused
    directions drawn again, and steps back to the boundary by few, wide bisections."""
    rng = attacker.rng
    oracle = _Oracle(attacker, float(rng.choice([0.3, 0.5, 0.8])))
    directions, steps, samples = int(rng.choice([20, 40])), int(rng.integers(6, 13)), 10
    for source in attacker.own_rows()[0]:
        one = Decisions(attacker, source)
        here = one.back(one.far(step=0.05), 0.25)
        low, high = 0.01, 2.0
        for _ in range(steps):
            size = float(np.sqrt(low * high))
            tried = _noise(here, size, samples, rng)
            one.flips(tried)
            hits = np.mean([oracle.refuses(x) for x in tried])
            low, high = (size, high) if hits > 0.05 else (low, size)
        for _ in range(4):
            sent: list[FloatArray] = []
            while len(sent) < directions:
                for _redrawn in range(20):
                    x = _noise(here, high, 1, rng)
                    flip = float(one.flips(x)[0])
                    if not oracle.refuses(x[0]):
                        break
                sent.append(flip * (x[0] - here))
            gradient = np.mean(sent, axis=0)
            gradient /= max(float(np.linalg.norm(gradient)), 1e-12)
            stride = float(np.linalg.norm(here - source))
            while one.flips((here + stride * gradient)[None])[0] < 0 and stride > 0.05:
                stride /= 2
            here = one.back(np.clip(here + stride * gradient, 0.0, 1.0), 0.25)


def _noise(centre: FloatArray, size: float, n: int, rng: np.random.Generator) -> FloatArray:
    """n points at Euclidean distance `size` from the centre, within the cube."""
    drawn = rng.normal(size=(n, centre.size))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.asarray(np.clip(centre + size * drawn, 0.0, 1.0))
