"""Evaluation points of one kind of entity: what profiles are learned from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.features.catalogue import NAMES
from detector.query import FloatArray, IntArray


class Rows(NamedTuple):
    """Evaluation points [n] in time order: features [n, f], serial of each row's entity [n], serial of its
    client [n]."""

    features: FloatArray
    entities: IntArray
    owners: IntArray

    def where(self, keep: npt.NDArray[np.bool_]) -> Rows:
        """Some of the rows."""
        return Rows(self.features[keep], self.entities[keep], self.owners[keep])


NO_ROWS = Rows(np.empty((0, len(NAMES))), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
