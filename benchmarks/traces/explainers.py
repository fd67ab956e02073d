"""Explainers: honest programs whose queries look like a search, since they probe the model round a record.

What sets them apart is that no query depends on the answer to the one before. They are no part of the
usual mix; the benchmark reports them apart.
"""

from __future__ import annotations

import numpy as np

from benchmarks.traces.benign import Client, Kind
from detector.query import FloatArray

SAMPLES = 100
"""Perturbed copies of one record."""
SUPERPIXEL = 4
"""Edge of the square blocks of an image that are switched off together [pixels]."""


def lime(client: Client, n: int) -> FloatArray:
    """LIME (Ribeiro et al. 2016): a record, then copies of it: of a table with normal noise as wide as the
    columns are, discrete inputs drawn anew in half of the copies; of an image with random superpixels
    switched to the image's mean; of a text without some of its words."""
    rng, population = client.rng, client.population
    dataset = population.dataset
    sent: list[FloatArray] = []
    while len(sent) < n:
        record = client.rows(1)[0]
        if dataset.side:
            blocks = -(-dataset.side // SUPERPIXEL)
            off = (
                (rng.random((SAMPLES, blocks, blocks)) < 0.5)
                .repeat(SUPERPIXEL, axis=1)
                .repeat(SUPERPIXEL, axis=2)
            )
            off = off[:, : dataset.side, : dataset.side].reshape(SAMPLES, -1)
            copies = np.where(off, record.mean(), record)
        elif dataset.texts:
            copies = dataset.snap(np.where(rng.random((SAMPLES, record.size)) < rng.random(), record, 0.0))
        else:
            copies = record + rng.normal(size=(SAMPLES, dataset.columns)) * population.spread
            copies = np.clip(copies, dataset.low, dataset.high)
            for field in dataset.fields:
                copies[:, field.columns] = record[field.columns]
                anew = np.flatnonzero(rng.random(SAMPLES) < 0.5)
                copies[np.ix_(anew, field.columns)] = rng.choice(field.values, anew.size)
        sent += [record, *copies]
    return np.array(sent[:n])


def shap(client: Client, n: int) -> FloatArray:
    """SHAP's permutation explainer (Lundberg and Lee 2017): from a record to a background row, one input
    after the other in random order, and back in the same order."""
    rng, dataset = client.rng, client.population.dataset
    inputs = dataset.inputs
    sent: list[FloatArray] = []
    while len(sent) < n:
        record, background = client.rows(2)
        at = record.copy()
        sent.append(at.copy())
        order = rng.permutation(len(inputs))
        for other in (background, record):
            for which in order:
                at[inputs[which]] = other[inputs[which]]
                sent.append(at.copy())
    return np.array(sent[:n])


KINDS: dict[str, Kind] = {
    "lime": Kind(lime, 0.5, 200, 0.6, ("bulk", "job", "app"), 20, 1000),
    "shap": Kind(shap, 0.5, 200, 0.6, ("bulk", "job", "app"), 20, 1000),
}
