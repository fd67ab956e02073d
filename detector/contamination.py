"""A history that holds attacks: which sessions must not teach what is normal.

A few attacks in the history are enough to blind a detector: they raise the tail that the threshold is read
from, and the more so since they are long. Rarity excludes nobody, or rare honest kinds would alert for ever.
Only what the recogniser takes for a known attack is left out, and it looks from a profile that attacks can
hardly bend: each session teaches at most `POINTS` evaluation points, and at first the fifth of the sessions
that surprises most teaches nothing (concentration as in the minimum covariance determinant, Rousseeuw and
Van Driessen 1999). Then all but the suspects teach, until the suspects stay the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.evidence import greatest_sums
from detector.features.catalogue import FAMILIES, SIDES
from detector.query import FloatArray, IntArray
from detector.rows import Rows, ordinals
from models.ensemble import fold_of
from models.recogniser import Recogniser
from models.tail import MINIMUM_ROWS, Tail

BoolArray = npt.NDArray[np.bool_]

MINIMUM_OWNERS = 20
"""Clients below which sessions, not clients, are kept together when one part judges the other."""
POINTS = 16
"""Evaluation points of one session that teach at most, evenly spread over it."""
SUSPECT = 25.0
"""Forgetting sum of log-odds from which a session is taken for an attack."""
SUSPECT_FOR_LIFE = 60.0
"""The same for other entities: clients and campaigns live longer, and odd queries are chosen for it."""
LEAK = 0.97
"""How these sums forget, at each evaluation point."""
AT_FIRST = 0.8
"""Share of the sessions, the least surprising ones, that the first look is taken from."""
LOOKS = 4
MOST = 0.25
"""With more suspects than this share of the judged sessions it is the recogniser that is wrong here."""


def thinned(entities: IntArray, most: int = POINTS) -> BoolArray:
    """True for at most `most` rows of each entity [n], its first and last among them, evenly spread."""
    _, which = np.unique(entities, return_inverse=True)
    count = np.bincount(which)[which]
    place = ordinals(entities) - 1
    # The k-th of n rows teaches when it is the first to reach its share of the `most` places.
    steps = np.maximum(count - 1, 1)
    share = place * (most - 1) // steps
    before = (place - 1) * (most - 1) // steps
    return np.asarray((count <= most) | (place == 0) | (share > before), dtype=np.bool_)


def groups_of(sessions: Rows, *others: Rows) -> list[IntArray]:
    """What must not be split when a part of the history judges the other: the client of each row, of the
    sessions and of the others; with few clients, the entity."""
    many = len(np.unique(sessions.owners)) >= MINIMUM_OWNERS
    return [rows.owners if many else rows.entities for rows in (sessions, *others)]


def without_attacks(
    sessions: Rows, others: tuple[Rows, ...], recogniser: Recogniser
) -> tuple[Rows, tuple[Rows, ...], int]:
    """The evaluation points of sessions, and of the other kinds of entities, that may teach; and how many
    sessions are suspects.

    What a suspect session's client did under other kinds of entities goes too. Another entity that is
    suspect as such leaves its own kind only: its sessions, one by one, are not, or are short.
    """
    outside = np.zeros(len(sessions.entities), dtype=np.bool_)
    teaches = thinned(sessions.entities)
    surprise = _out_of_fold(sessions, sessions, teaches, None)
    known = surprise[~np.isnan(surprise)]
    if len(known):
        most = greatest_sums(surprise - float(np.median(known)), sessions.entities, LEAK)
        unusual = np.unique(sessions.entities)[most > np.quantile(most, AT_FIRST)]
        outside = np.isin(sessions.entities, unusual)
    suspects: IntArray = np.empty(0, dtype=np.int64)
    for look in range(LOOKS):
        new = _suspects(sessions, sessions, teaches & ~outside, recogniser)
        outside = np.isin(sessions.entities, new)
        if look and np.array_equal(new, suspects):
            break
        suspects = new
    count = len(suspects)
    if count > MOST * len(np.unique(sessions.entities)):
        return sessions, others, 0
    teaches &= ~outside
    left = tuple(
        rows.where(
            ~np.isin(rows.owners, sessions.owners[outside])
            & ~np.isin(rows.entities, _suspects(rows, sessions, teaches, recogniser, SUSPECT_FOR_LIFE))
        )
        for rows in others
    )
    return sessions.where(~outside), left, count


def _suspects(
    rows: Rows, sessions: Rows, teaches: BoolArray, recogniser: Recogniser, limit: float = SUSPECT
) -> IntArray:
    """Serials of the entities of `rows` that look like attacks against the sessions that teach."""
    if not len(rows.entities):
        return np.empty(0, dtype=np.int64)
    odds = _out_of_fold(rows, sessions, teaches, recogniser)
    return np.unique(rows.entities)[attack_sums(odds, rows.entities) > limit]


def attack_sums(odds: FloatArray, entities: IntArray) -> FloatArray:
    """The greatest forgetting sum of the recogniser's log-odds [n] of each entity [m], by ascending serial.

    It falls where an attack is less likely than honesty, and nothing else is taken off.
    """
    return greatest_sums(odds, entities, LEAK)


def _out_of_fold(rows: Rows, sessions: Rows, teaches: BoolArray, recogniser: Recogniser | None) -> FloatArray:
    """Log-odds [n] of rows, or without a recogniser their surprise, by tails of other clients' sessions;
    NaN where those are too few."""
    groups, mine = groups_of(sessions, rows)
    fold, theirs = fold_of(mine), fold_of(groups)
    out = np.full(len(rows.entities), np.nan)
    for held in (0, 1):
        learned = sessions.features[teaches & (theirs != held)]
        if len(learned) < MINIMUM_ROWS or not (fold == held).any():
            continue
        tail = Tail(SIDES, FAMILIES)
        tail.learn(learned)
        judged = rows.where(fold == held)
        seen = tail.see(judged.features)
        odds = recogniser.score(seen.signed, judged.points) if recogniser else tail.mean(seen.extreme)
        out[fold == held] = odds
    return out
