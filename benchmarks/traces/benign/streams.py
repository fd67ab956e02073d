"""Inputs that follow each other in time, each close to the last of its stream."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.benign.client import Client
from benchmarks.traces.text import to_length_one
from detector.query import FloatArray


def drift(client: Client, n: int) -> FloatArray:
    """A video or a sensor: each input close to the last, moving smoothly from one scene to the next, with
    sensor noise. Fractions stay in half of the clients; discrete inputs jump midway. Of texts: a window that
    slides over a long one."""
    rng, dataset = client.rng, client.population.dataset
    frames = int(rng.integers(5, 60))
    scenes = client.rows(n // frames + 2)
    at = np.arange(n) / frames
    scene = at.astype(np.int64)
    t = (0.5 - 0.5 * np.cos(np.pi * (at - scene)))[:, None]
    smooth = (1 - t) * scenes[scene] + t * scenes[scene + 1]
    if dataset.texts:
        return to_length_one(smooth)
    noise = rng.choice([0.0, 0.005, 0.02, 0.05]) * client.population.spread
    moved = np.clip(smooth + rng.normal(size=smooth.shape) * noise, dataset.low, dataset.high)
    return dataset.keep_discrete(moved) if rng.random() < 0.5 else dataset.snap(moved)
