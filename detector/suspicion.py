"""What is remembered of each entity from one evaluation point to the next: its evidence, its episode, and,
once it is worth it, what an alert would show and name the technique by.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector import pool
from detector.features.catalogue import NAMES
from detector.features.layout import EVERY, FEWEST, RECENT, Field, row_type
from detector.pool import Pool
from detector.query import FloatArray, IntArray
from models.compiled import lean

SERIES = 64
"""Points of confidence and distance that an alert shows."""
MEANS = (len(NAMES) + 1) // 2
"""Rows of two that the means of the features take."""
OPINION = 2
"""Rows of two that the shares of the attack families take."""

EPISODES, OPEN, REVISION, LEVEL, SILENT = range(5)


class Episodes(NamedTuple):
    """Policy state of `capacity` entities of one kind; `judge` changes it in place.

    evidence [capacity]; since [capacity] number of the query at which it last left 0
    counts [capacity, 5] int32: episodes so far, open (0: no, 1: since the entity was short, 2: since it was
    long), revision, level of the last message, silent (0 or 1)
    told [capacity] queries, and told_clients [capacity] int32 clients of a campaign, when the last message
    went out; began [capacity] time the episode began
    allowed [capacity] float32: what its client's habit takes off its scores, of a campaign that of the client
    that sent last (`detector.habits`)
    shown [capacity] int32: 1 + number of the block for the series that was lent, 0 none; points [capacity]
    int32 written to it so far
    series [blocks, SERIES + MEANS + OPINION, 2] float32 recent (confidence, distance), then, two a row, the
    means of the features at evaluation points since it was lent, then of the shares of the attack families
    in the episode's messages, for entities whose evidence is worth it; blocks: which are lent;
    series_changed [blocks] uint8: 1 where one was written to since it was saved
    """

    evidence: FloatArray
    since: IntArray
    counts: npt.NDArray[np.int32]
    told: FloatArray
    told_clients: npt.NDArray[np.int32]
    began: FloatArray
    allowed: npt.NDArray[np.float32]
    shown: npt.NDArray[np.int32]
    points: npt.NDArray[np.int32]
    series: npt.NDArray[np.float32]
    blocks: Pool
    series_changed: npt.NDArray[np.uint8]


ROW_FIELDS: list[Field] = [
    ("episodes_evidence", "<f8", ()),
    ("episodes_since", "<i8", ()),
    ("episodes_told", "<f8", ()),
    ("episodes_began", "<f8", ()),
    ("episodes_counts", "<i4", (5,)),
    ("episodes_allowed", "<f4", ()),
    ("episodes_told_clients", "<i4", ()),
    ("episodes_shown", "<i4", ()),
    ("episodes_points", "<i4", ()),
]
"""What one row holds beside `detector.features.layout.row_fields`."""
SERIES_SHARE = 8
"""There is a block for the series of every so many entities."""
SHOWN_FROM = 0.125
"""Evidence over threshold from which the series of an entity is kept."""


def no_series(blocks: int) -> npt.NDArray[np.float32]:
    """So many blocks in which nothing was written."""
    return np.zeros((blocks, SERIES + MEANS + OPINION, 2), dtype=np.float32)


def blocks_for(entities: int) -> int:
    """Series that are kept for so many entities."""
    return max(8, entities // SERIES_SHARE)


def block_bytes() -> int:
    """Bytes of one series and what is behind it."""
    return 4 * 2 * (SERIES + MEANS + OPINION)


def views(
    rows: Any, series: npt.NDArray[np.float32], lent: Pool, series_changed: npt.NDArray[np.uint8]
) -> Episodes:
    """The columns of rows [capacity] that hold ROW_FIELDS."""
    own = {name.removeprefix("episodes_"): rows[name] for name, _, _ in ROW_FIELDS}
    return Episodes(**own, series=series, blocks=lent, series_changed=series_changed)


def allocate(capacity: int) -> Episodes:
    """State of so many entities in which nothing ever happened; it is not to grow."""
    most = max(8, capacity)
    lent = pool.make(most)
    pool.longer(lent.back, most)
    rows = np.zeros(max(capacity, FEWEST), dtype=row_type(ROW_FIELDS))
    return views(rows, no_series(most), lent, np.zeros(most, dtype=np.uint8))


def copy(source: Episodes, places: IntArray, target: Episodes, slots: IntArray) -> None:
    """What is remembered of entities at `places` [k] becomes that of those in `slots` [k]; the series, which
    is for showing, stays what it was."""
    for name, _, _ in ROW_FIELDS:
        field = name.removeprefix("episodes_")
        if field not in ("shown", "points"):
            getattr(target, field)[slots] = getattr(source, field)[places]


@lean
def release_series(episodes: Any, s: int) -> None:
    """Take back the block that was lent to the entity in slot s."""
    if episodes.shown[s] > 0:
        pool.give_back(episodes.blocks, episodes.shown[s] - 1)
        episodes.shown[s] = 0
    episodes.points[s] = 0


@lean
def forget(episodes: Any, gone: Any) -> None:
    """The entities in slots gone [n] are no more."""
    for s in gone:
        release_series(episodes, s)
        episodes.evidence[s] = 0.0
        episodes.counts[s, :] = 0


@lean
def open_session(episodes: Any, s: int) -> None:
    """An entity begins in slot s."""
    episodes.evidence[s] = 0.0
    episodes.since[s] = 0
    episodes.counts[s, :] = 0
    episodes.told[s] = 0.0
    episodes.allowed[s] = 0.0
    release_series(episodes, s)


@lean
def keep(episodes: Any, s: int, recent: Any, features: Any, worth: bool) -> None:
    """Add the queries since the last point to the series, and the point's features to the means, of an
    entity whose evidence is worth it."""
    if not worth:
        release_series(episodes, s)
        return
    count = EVERY
    if episodes.shown[s] == 0:
        episodes.shown[s] = pool.lend(episodes.blocks) + 1
        if episodes.shown[s] == 0:
            return
        count = RECENT
        episodes.series[episodes.shown[s] - 1, SERIES + MEANS :] = np.nan
    series = episodes.series[episodes.shown[s] - 1]
    episodes.series_changed[episodes.shown[s] - 1] = 1
    for r in range(RECENT - count, RECENT):
        series[episodes.points[s] % SERIES, 0] = recent[r, 0]
        series[episodes.points[s] % SERIES, 1] = recent[r, 1]
        episodes.points[s] += 1
    n = 1 + (episodes.points[s] - RECENT) // EVERY
    for j in range(features.shape[0]):
        row, side = SERIES + j // 2, j % 2
        if n == 1 or np.isnan(series[row, side]):
            series[row, side] = features[j]
        elif not np.isnan(features[j]):
            series[row, side] += (features[j] - series[row, side]) / n


def recent_series(episodes: Episodes, s: int) -> tuple[list[float | None], list[float | None]]:
    """(confidence, distance) of the session's last queries, oldest first, at most SERIES; None: unknown.

    They begin when the evidence was first worth keeping them.
    """
    written = int(episodes.points[s])
    series = episodes.series[max(int(episodes.shown[s]) - 1, 0)]
    order = [k % SERIES for k in range(max(0, written - SERIES), written)]

    def column(c: int) -> list[float | None]:
        values = series[order, c].astype(np.float64)
        return [None if np.isnan(v) else round(float(v), 5) for v in values]

    return column(0), column(1)


def feature_means(episodes: Episodes, s: int) -> FloatArray | None:
    """Means [f] of the entity's features since its evidence was worth keeping them; None: no block was left
    to keep them in."""
    block = int(episodes.shown[s])
    if not block:
        return None
    return episodes.series[block - 1, SERIES : SERIES + MEANS].ravel()[: len(NAMES)].astype(np.float64)


def mean_opinion(episodes: Episodes, s: int, shares: FloatArray) -> FloatArray:
    """The shares of the attack families [4], averaged over the messages of the entity's episode up to the one
    that is due, in which they are `shares` [4] alone. Without a block to keep them in, they stay these."""
    block, message = int(episodes.shown[s]), int(episodes.counts[s, REVISION])
    if not block:
        return shares
    kept = episodes.series[block - 1, SERIES + MEANS :].reshape(-1)
    if message == 0 or np.isnan(kept[0]):
        kept[:] = shares
    else:
        kept += (shares - kept) / (message + 1)
    episodes.series_changed[block - 1] = 1
    return kept.astype(np.float64)
