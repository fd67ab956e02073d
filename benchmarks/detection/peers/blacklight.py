"""Blacklight (Li et al. 2022): two queries share many hashes of quantised windows."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from benchmarks.detection.peers.base import Stream
from benchmarks.traces.recording import BoolArray
from detector.query import FloatArray

QUANTUM, WINDOW, KEPT = 50, 20, 50


class Blacklight:
    """Fingerprints of all clients in one store: values 0..255 plus a secret salt, modulo 255, quantised to
    steps of 50, hashed in all windows of 20 (half the columns, if that is less) one value apart; of the
    hashes, reversed, the 50 greatest. An alarm where half of them are shared with one stored fingerprint;
    every query is stored."""

    name = "Blacklight"

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """The history teaches it nothing; the store starts empty, as after its nightly reset."""
        d = trace.unit.shape[1]
        salt = np.floor(256 * np.random.default_rng(0).random(d))
        window = max(1, min(WINDOW, d // 2))
        store: dict[str, list[int]] = {}
        alarm = np.zeros(len(trace), dtype=np.bool_)
        for i, row in enumerate(self._quantised(trace.unit, salt)):
            prints = self._fingerprint(row, window)
            shared = [store[one] for one in prints if one in store]
            if shared:
                counts = np.bincount(np.concatenate([np.asarray(ids) for ids in shared]))
                alarm[i] = counts.max() >= len(prints) / 2
            for one in prints:
                store.setdefault(one, []).append(i)
        return alarm

    @staticmethod
    def _quantised(unit: FloatArray, salt: FloatArray) -> npt.NDArray[np.int16]:
        salted = (np.clip(unit, 0.0, 1.0) * 255 + salt) % 255
        return np.asarray(np.round(salted / QUANTUM) * QUANTUM).astype(np.int16)

    @staticmethod
    def _fingerprint(row: npt.NDArray[np.int16], window: int) -> list[str]:
        raw, size = row.tobytes(), row.itemsize
        starts = range(len(row) - window + 1)
        hashes = {hashlib.sha256(raw[size * i : size * (i + window)]).hexdigest() for i in starts}
        return sorted((one[::-1] for one in hashes), reverse=True)[:KEPT]
