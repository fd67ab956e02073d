"""A generator of plausible inputs, as inversion attacks in a latent space have one: here a linear one."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.traces.attacks.attacker import Attacker
from detector.query import FloatArray


class Latent:
    """Principal components of the attacker's own rows: codes [n, k] of unit variance to inputs [n, d] of the
    unit cube. Discrete inputs of tables come out at their own values."""

    def __init__(self, attacker: Attacker, most: int = 16) -> None:
        rows = attacker.own_rows()[0]
        self._dataset = attacker.recorder.target.dataset
        self.size = max(2, min(most, rows.shape[1] // 2, len(rows) - 1))
        # The exact solver: a randomised one would draw from NumPy's own generator.
        self._pca = PCA(self.size, whiten=True, svd_solver="full").fit(rows)

    def decode(self, codes: FloatArray) -> FloatArray:
        """Inputs [n, d] of codes [n, k]."""
        unit = np.clip(self._pca.inverse_transform(codes), 0.0, 1.0)
        return self._dataset.to_unit(self._dataset.keep_discrete(self._dataset.from_unit(unit)))
