"""Looking round: which of the last odd queries of other clients lie near to one; see `detector.links`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from detector.links import LEAST, LULL, NEAR, ODD, RELATED, SHORTEST_LULL, STRANGE, WINDOW, Links
from models.compiled import lean
from models.nearby import BLOCK, smallest_marked, square_distances

HEAD = 12
"""Numbers of a sketch that tell most odd queries far from each other."""
ROUNDING = 1e-4
"""More than what sums of squares in float32 are wrong by."""


class Look(NamedTuple):
    """Memory that a look around overwrites: distances [WINDOW] squared, to the odd queries in the ring; least
    [LEAST], see `keep_distance`.

    found [4] distances (inf: none), where [4] positions in the ring: of the nearest of another client of the
    same tenant; of the nearest strange one; and of both among clients that have been linked just now.
    """

    distances: Any
    least: Any
    found: Any
    where: Any


def looking() -> Look:
    """Memory for a look around."""
    return Look(
        np.empty(WINDOW, dtype=np.float32),
        np.empty(LEAST),
        np.empty(4),
        np.empty(4, dtype=np.int64),
    )


@lean
def look_around(links: Links, tenant: Any, c: int, sketch: Any, look: Look) -> None:
    """Find the odd queries of other clients of c's tenant that lie nearest to sketch."""
    held = min(links.counters[ODD], WINDOW)
    distances, found, where = look.distances, look.found, look.where
    near, strange = np.float32(np.inf), np.float32(np.inf)
    for begin in range(0, held, BLOCK):
        least = square_distances(links.sketch, sketch, sketch.shape[0], begin, distances)
        # Few are nearer than all before them: only these are looked at closely.
        if least >= near and smallest_marked(distances, links.strange, begin) >= strange:
            continue
        for w in range(begin, min(begin + BLOCK, held)):
            distance = distances[w]
            if distance < near or (links.strange[w] > 0 and distance < strange):
                other = links.client[w]
                if other < 0 or other == c or tenant[other] != tenant[c]:
                    continue
                if distance < near:
                    near, where[NEAR] = distance, w
                if links.strange[w] > 0 and distance < strange:
                    strange, where[STRANGE] = distance, w
    found[NEAR], found[STRANGE] = np.sqrt(np.float64(near)), np.sqrt(np.float64(strange))


@lean
def look_near(links: Links, tenant: Any, c: int, sketch: Any, reach: float, look: Look) -> None:
    """`look_around` within reach only, and without the strange ones: what is farther counts as none.

    Few are that near in their first HEAD numbers already, and only these are looked at whole.
    """
    held = min(links.counters[ODD], WINDOW)
    distances, k = look.distances, sketch.shape[0]
    farthest = np.float32(reach * reach * (1.0 + ROUNDING))
    nearest = np.float32(np.inf)
    for begin in range(0, held, BLOCK):
        if square_distances(links.sketch, sketch, HEAD, begin, distances) > farthest:
            continue
        for w in range(begin, min(begin + BLOCK, held)):
            distance = distances[w]
            if distance > farthest:
                continue
            other = links.client[w]
            if other < 0 or other == c or tenant[other] != tenant[c]:
                continue
            for j in range(HEAD, k):
                off = links.sketch[j, w] - np.float32(sketch[j])
                distance += off * off
                if distance > farthest:
                    break
            if distance <= farthest and distance < nearest:
                nearest, look.where[NEAR] = distance, w
    look.found[NEAR], look.found[STRANGE] = np.sqrt(np.float64(nearest)), np.inf


@lean
def look_for_company(links: Links, tenant: Any, c: int, query: int, look: Look) -> None:
    """After `look_around`, find the same among clients that have been linked just now."""
    found, where = look.found, look.where
    found[NEAR + 2], found[STRANGE + 2] = np.inf, np.inf
    for w in range(min(links.counters[ODD], WINDOW)):
        other = links.client[w]
        if other < 0 or other == c or tenant[other] != tenant[c] or links.recent[other] < RELATED:
            continue
        campaign = links.member[other]
        if campaign >= 0 and campaign != links.member[c]:
            silence = query - links.last[campaign]
            if silence > max(LULL * links.pause[campaign], SHORTEST_LULL):
                continue
        for kind in range(NEAR + 2, NEAR + 3 + links.strange[w]):
            if look.distances[w] < found[kind]:
                found[kind], where[kind] = look.distances[w], w
    for kind in range(NEAR + 2, STRANGE + 3):
        found[kind] = np.sqrt(found[kind])
