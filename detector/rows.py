"""Evaluation points of one kind of entity: what profiles are learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.features.catalogue import NAMES
from detector.query import FloatArray, IntArray


class Rows(NamedTuple):
    """Evaluation points [n] in time order: features [n, f], serial of each row's entity [n], serial of its
    client [n], and the how many-th of its entity it is [n], from 1."""

    features: FloatArray
    entities: IntArray
    owners: IntArray
    points: IntArray

    def where(self, keep: npt.NDArray[np.bool_]) -> Rows:
        """Some of the rows."""
        return Rows(self.features[keep], self.entities[keep], self.owners[keep], self.points[keep])

    def newest(self, count: int) -> Rows:
        """At most so many of the rows, as views."""
        first = max(0, len(self.entities) - count)
        return Rows(self.features[first:], self.entities[first:], self.owners[first:], self.points[first:])

    def copy(self) -> Rows:
        """The same rows, which nothing overwrites."""
        return Rows(self.features.copy(), self.entities.copy(), self.owners.copy(), self.points.copy())


def ordinals(entities: IntArray) -> IntArray:
    """The how many-th of its entity each row is [n], from 1, of rows of entities with these serials [n]."""
    order = np.argsort(entities, kind="stable")
    ordered = entities[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    count = np.diff(np.append(first, len(ordered)))
    out = np.empty(len(entities), dtype=np.int64)
    out[order] = np.arange(1, len(ordered) + 1) - np.repeat(first, count)
    return out


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of some parts, at least one, one after the other."""
    return Rows(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.entities for part in parts]),
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.points for part in parts]),
    )


NO_ROWS = Rows(
    np.empty((0, len(NAMES))),
    np.empty(0, dtype=np.int64),
    np.empty(0, dtype=np.int64),
    np.empty(0, dtype=np.int64),
)
