"""Evaluation points of entities, and the columns of a batch that are filled on the way to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.features import layout
from detector.query import FloatArray, IntArray

POINTS = 1280
"""Evaluation points that are written at one go: a quarter of a batch of 4,096 queries, and a few more. Each
time costs as much as a hundred queries, whatever there is to do."""


@dataclass(frozen=True, slots=True)
class Points:
    """Evaluation points [m]: row in the batch, slot, what `advance` wrote of each."""

    rows: IntArray
    slots: IntArray
    meta: FloatArray
    features: FloatArray
    series: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def so_far(self) -> IntArray:
        """The how many-th of its entity each one is [m], from 1."""
        return layout.evaluations(self.meta[:, 0])

    def part(self, begin: int, end: int) -> Points:
        """Points begin..end, as views."""
        return Points(
            self.rows[begin:end],
            self.slots[begin:end],
            self.meta[begin:end],
            self.features[begin:end],
            self.series[begin:end],
        )

    def copy(self) -> Points:
        """The same points, which nothing overwrites later."""
        return Points(
            self.rows.copy(), self.slots, self.meta.copy(), self.features.copy(), self.series.copy()
        )


def in_order(parts: list[tuple[int, Points]]) -> tuple[IntArray, Points]:
    """Points of several kinds of entities in the order of their queries, then kinds; and the kinds [m]."""
    kind = np.repeat([which for which, _ in parts], [len(part) for _, part in parts])
    if len(parts) == 1:
        return kind, parts[0][1]
    order = np.lexsort((kind, np.concatenate([part.rows for _, part in parts])))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    places = np.split(place, np.cumsum([len(part) for _, part in parts])[:-1])

    def merged(name: str) -> Any:
        columns = [getattr(part, name) for _, part in parts]
        out = np.empty((len(order), *columns[0].shape[1:]), dtype=columns[0].dtype)
        for own, column in zip(places, columns, strict=True):
            out[own] = column
        return out

    return kind[order], Points(*map(merged, ("rows", "slots", "meta", "features", "series")))


@dataclass(frozen=True, slots=True)
class Work:
    """Columns of a batch of n queries that are filled while it is accounted for.

    slot of the session and whether it begins there; owner: number of the client; client: slot of the
    client's entity, -1: none; client_fresh whether that begins; sessions that the client had begun by
    then in its stretch; campaign: its slot, -1: none; odd [n, 2] how strange the input is, NaN for a repeat;
    followed: slot of the session's odd queries, -1: it is none that is followed; followed_fresh whether that
    begins.
    """

    slot: IntArray
    fresh: Any
    owner: IntArray
    client: IntArray
    client_fresh: Any
    sessions: IntArray
    campaign: IntArray
    odd: FloatArray
    followed: IntArray
    followed_fresh: Any

    @classmethod
    def empty(cls, n: int) -> Work:
        """For n queries."""

        def numbers() -> IntArray:
            return np.zeros(n, dtype=np.int64)

        def flags() -> Any:
            return np.zeros(n, dtype=np.bool_)

        odd = np.full((n, 2), np.nan)
        return cls(
            slot=numbers(),
            fresh=flags(),
            owner=numbers(),
            client=numbers(),
            client_fresh=flags(),
            sessions=numbers(),
            campaign=numbers(),
            odd=odd,
            followed=numbers(),
            followed_fresh=flags(),
        )
