"""The prior: what judges a model's queries until there is a profile of its own traffic.

What is benign differs from model to model, but not without bounds: how often honest clients take tiny
steps, turn back, or change one column at a time was measured on many other data sets. The prior holds the
quantiles of each feature over all of them, each data set counting as much as the others; a recogniser that
was taught on attacks by surprises against these, instead of against a deployment's own; and tails of the
maxima of benign entities. What calibrates and what the tails are made of comes from priors that were made
without the data set that they judge, so a threshold says how far a data set that nobody has seen may stray.

`python -m benchmarks.detection.teach` makes `models/prior.npz`: arrays and a description of where they come
from. Features go by their names: one that the prior does not know says nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import models
from detector.evidence import SessionTail
from detector.features.catalogue import FAMILIES, NAMES, SIDES
from detector.features.inputs import Inputs, unlearned
from detector.profile import ModelProfile
from models.base import Arrays, under
from models.calibration import Calibration
from models.ensemble import Ensemble
from models.quantiles import Quantiles
from models.recogniser import Recogniser
from models.shipped import read

SHIPPED = Path(models.__file__).with_name("prior.npz")
_META = "prior"


@dataclass(frozen=True)
class Prior:
    """What judges in any units: `recogniser`, feature `quantiles` and `calibration` of the two models' raw
    scores; tails and `odd_level` as in `ModelProfile`. `provenance` says what taught it."""

    recogniser: Recogniser
    quantiles: Quantiles
    calibration: Calibration
    tails: tuple[SessionTail, ...]
    late: tuple[SessionTail, ...]
    odd_level: float
    provenance: Mapping[str, Any]

    def arrays(self) -> Arrays:
        """Everything as named arrays."""
        text = json.dumps({"provenance": self.provenance}, sort_keys=True).encode()
        return {
            _META: np.frombuffer(text, dtype=np.uint8),
            **{f"recogniser/{key}": array for key, array in self.recogniser.to_arrays().items()},
            **{f"quantiles/{key}": array for key, array in self.quantiles.to_arrays().items()},
            **{f"calibration/{key}": array for key, array in self.calibration.to_arrays().items()},
            "tails": np.stack([tail.to_array() for tail in self.tails]),
            "late": np.stack([tail.to_array() for tail in self.late]),
            "odd_level": np.array([self.odd_level]),
        }

    def save(self, path: Path) -> None:
        """Write it; the same content gives the same bytes."""
        everything: dict[str, Any] = dict(self.arrays())
        np.savez_compressed(path, **everything)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Prior:
        """The inverse of `arrays`, its features put where the catalogue has them. Raises ValueError where
        the catalogue lacks one."""
        own = Recogniser.from_arrays(under(arrays, "recogniser/"))
        columns = [NAMES.index(name) for name in own.features if name in NAMES]
        recogniser = own.placed(NAMES)
        quantiles = Quantiles.from_arrays(under(arrays, "quantiles/"))
        width = quantiles.grid.shape[1]
        placed = Quantiles(
            np.full((len(NAMES), width), np.nan),
            np.full((len(NAMES), 2), np.nan),
            np.full((len(NAMES), 2), np.nan),
        )
        placed.grid[columns] = quantiles.grid
        placed.edges[columns] = quantiles.edges
        placed.scales[columns] = quantiles.scales
        tails, late = (
            tuple(SessionTail.from_array(row) for row in np.asarray(arrays[name], dtype=np.float64))
            for name in ("tails", "late")
        )
        return cls(
            recogniser=recogniser,
            quantiles=placed,
            calibration=Calibration.from_arrays(under(arrays, "calibration/")),
            tails=tails,
            late=late,
            odd_level=float(np.asarray(arrays["odd_level"], dtype=np.float64)[0]),
            provenance=json.loads(arrays[_META].tobytes())["provenance"],
        )

    @cached_property
    def profile(self) -> ModelProfile:
        """What judges, in no units yet."""
        ensemble = Ensemble(SIDES, FAMILIES, self.recogniser, forests=False)
        ensemble.tail.quantiles = self.quantiles
        ensemble.take_calibration(self.calibration)
        digest = hashlib.sha256()
        for name, array in sorted(self.arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return ModelProfile(
            sequence=0,
            inputs=unlearned(1),
            near=float("nan"),
            ensemble=ensemble,
            tails=self.tails,
            late=self.late,
            odd_level=self.odd_level,
            suspects=0,
            version=f"prior-{digest.hexdigest()[:12]}",
        )


def judge(inputs: Inputs) -> ModelProfile:
    """The shipped prior as what judges the queries of a model, in these units."""
    return replace(shipped().profile, inputs=inputs)


def load(path: Path) -> Prior:
    """Read what `Prior.save` wrote. Raises OSError."""
    return read(path, Prior.from_arrays)


@cache
def shipped() -> Prior:
    """The prior that comes with querywatch."""
    return load(SHIPPED)
