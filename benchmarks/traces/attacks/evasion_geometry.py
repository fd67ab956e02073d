"""Decision-based evasion that needs no gradient: the boundary's shape alone leads towards the record."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.evasion_decision import Decisions
from detector.query import FloatArray


def _across(direction: FloatArray, others: list[FloatArray], rng: np.random.Generator) -> FloatArray:
    """A random unit vector [d] at right angles to `direction` and to `others`; one in three is sparse."""
    drawn = rng.normal(size=direction.size)
    if rng.random() < 0.3:
        drawn *= rng.random(drawn.size) < max(0.2, 3 / drawn.size)
    for known in (direction, *others):
        drawn = drawn - (drawn @ known) * known
    return np.asarray(drawn / max(float(np.linalg.norm(drawn)), 1e-9))


def _towards(one: Decisions, x: FloatArray) -> tuple[FloatArray, float]:
    """Unit vector [d] from the record to x, and the distance."""
    away = x - one.source
    distance = max(float(np.linalg.norm(away)), 1e-9)
    return away / distance, distance


def _bent(source: FloatArray, x: FloatArray, aside: FloatArray, angle: float) -> FloatArray:
    """Where the circle over the way from x [d] back to the source is met under an angle, towards `aside`."""
    away = x - source
    turned = np.cos(angle) * away + np.sin(angle) * np.linalg.norm(away) * aside
    return np.asarray(source + np.cos(angle) * turned)


def surfree(attacker: Attacker) -> None:
    """SurFree: along a half circle over the way back to the record, in a random plane: a few angles on either
    side, then the best is halved further."""
    rng = attacker.rng
    widest, tries = float(rng.choice([0.3, 0.5, 0.8])), int(rng.choice([2, 3, 4]))
    refinements, tolerance = int(rng.choice([3, 5, 8])), float(rng.choice([0.02, 0.1]))
    for source in attacker.own_rows()[0]:
        one = Decisions(attacker, source)
        here = one.back(one.far(step=float(rng.choice([0.02, 0.1]))), tolerance)
        tried: list[FloatArray] = []
        for _ in range(25):
            aside = _across(_towards(one, here)[0], tried[-20:], rng)
            tried.append(aside)
            angles = [sign * widest / 2**k for k in range(tries) for sign in (1.0, -1.0)]
            found = next(
                (angle for angle in angles if one.flips(_bent(source, here, aside, angle)[None])[0] > 0), 0.0
            )
            if not found:
                continue
            low, high = found, 2 * found
            for _ in range(refinements):
                middle = (low + high) / 2
                low, high = (
                    (middle, high)
                    if one.flips(_bent(source, here, aside, middle)[None])[0] > 0
                    else (low, middle)
                )
            here = _bent(source, here, aside, low)


def rays(attacker: Attacker) -> None:
    """RayS: the signs of a direction from the record are turned block by block, in ever finer blocks; a turn
    is kept if the boundary lies nearer that way, which one query tells."""
    rng = attacker.rng
    steps, reach = int(rng.choice([5, 8])), float(rng.choice([0.3, 1.0]))
    for source in attacker.own_rows()[0]:
        one = Decisions(attacker, source)
        d = source.size
        signs = rng.choice([-1.0, 1.0], d) if rng.random() < 0.5 else np.ones(d)
        nearest = reach * float(np.sqrt(d))
        blocks, tries = 1, 0
        while tries < 60:
            for part in np.array_split(np.arange(d), blocks):
                turned = signs.copy()
                turned[part] *= -1.0
                ray = turned / np.sqrt(d)
                tries += 1
                if one.flips((source + nearest * ray)[None])[0] < 0:
                    continue
                low, high = 0.0, nearest
                for _ in range(steps):
                    middle = (low + high) / 2
                    low, high = (
                        (low, middle) if one.flips((source + middle * ray)[None])[0] > 0 else (middle, high)
                    )
                signs, nearest = turned, high
            blocks = min(2 * blocks, d)


def triangle(attacker: Attacker) -> None:
    """Triangle Attack: in a random plane the law of sines gives a point nearer to the record under a small
    angle; the angle at the boundary point is learned from what succeeds."""
    rng = attacker.rng
    narrow, pace = float(rng.choice([0.1, 0.2, 0.4])), float(rng.choice([0.01, 0.05]))
    for source in attacker.own_rows()[0]:
        one = Decisions(attacker, source)
        here = one.back(one.far(step=0.05), 0.1)
        corner = np.pi / 2
        for _ in range(40):
            ahead, distance = _towards(one, here)
            aside = _across(ahead, [], rng)
            angle = narrow * rng.uniform(0.3, 1.0)
            nearer = distance * np.sin(corner) / np.sin(np.pi - corner - angle)
            for sign in (1.0, -1.0):
                point = source + min(nearer, 0.97 * distance) * (
                    np.cos(angle) * ahead + sign * np.sin(angle) * aside
                )
                if one.flips(point[None])[0] > 0:
                    here, corner = np.clip(point, 0.0, 1.0), min(corner + pace, np.pi / 2 + 0.4)
                    break
                corner = max(corner - pace / 2, np.pi / 2 - 0.4)
