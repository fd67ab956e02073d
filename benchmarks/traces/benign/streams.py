"""Inputs that follow each other in time, each close to the last of its stream."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from benchmarks.traces.benign.client import Client
from benchmarks.traces.data import Dataset
from benchmarks.traces.text import WORD, some_words, to_length_one
from detector.query import FloatArray

QUICK, SLOW = (3.0, 300.0), (30.0, 1000.0)
"""Readings after which a stream has forgotten where it was."""
EXTENT, FAR = (0.05, 0.7), (0.5, 1.2)
"""How far a stream strays from where it is at home, in what the client's rows differ by: in general, and
where all inputs are discrete, which do not show less."""


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


def wander(client: Client, n: int) -> FloatArray:
    """A sensor, an account or a vehicle: a random walk that is drawn back to where it is at home
    (Ornstein-Uhlenbeck), in steps that move the columns together as they differ between rows. Some have a
    daily cycle, jump to another home, hold all but some columns (of an image: a box), or tell old values
    until new ones are there. Fractions stay in a fifth of the clients. Of texts: the last words of a talk,
    new ones coming and old ones going."""
    return _stream(client, n, QUICK)


def dashboard(client: Client, n: int) -> FloatArray:
    """Two to twelve slow streams, as of `wander`, asked in turn, round after round; in half of the clients
    nearly all of one class, as machines of one make are."""
    streams = min(int(client.rng.integers(2, 13)), n)
    watched = client.of_one_class() if client.rng.random() < 0.5 else client
    told = [_stream(watched, -(-n // streams), SLOW) for _ in range(streams)]
    return np.stack(told, axis=1).reshape(-1, client.population.dataset.columns)[:n]


def _stream(client: Client, n: int, memory: tuple[float, float]) -> FloatArray:
    """n readings of a stream that forgets after log-uniformly many of them."""
    rng, dataset = client.rng, client.population.dataset
    kept = float(np.exp(-1.0 / _log_uniform(rng, memory)))
    home = _homes(client, n)
    if dataset.texts:
        return _held(_talk(home, kept, rng), rng, whole=True)
    steps = client.differences(n)
    steps[1:] *= np.sqrt(1.0 - kept**2)  # so that it strays as far at the start as later
    extent = _log_uniform(rng, FAR if dataset.discrete else EXTENT)
    away = extent * lfilter([1.0], [1.0, -kept], steps, axis=0)
    if rng.random() < 0.3:
        a_day, phase = _log_uniform(rng, (24.0, 288.0)), rng.uniform(0, 2 * np.pi)
        turn = np.sin(2 * np.pi * np.arange(n) / a_day + phase)
        away += rng.uniform(0.2, 0.8) * turn[:, None] * client.differences(1)
    away += rng.choice([0.0, 0.0, 0.005, 0.02]) * client.population.spread * rng.normal(size=away.shape)
    state = home + away * _moving(dataset, rng)
    told = _held(state, rng, whole=dataset.side > 0 or rng.random() < 0.5)
    if rng.random() < 0.8:
        return dataset.snap(told)
    return dataset.keep_discrete(np.clip(told, dataset.low, dataset.high))


def _homes(client: Client, n: int) -> FloatArray:
    """[n, d] where the stream is drawn to: one row, or now and then another."""
    jumps = client.rng.random(n) < (1.0 / _log_uniform(client.rng, (20.0, 200.0)))
    if client.rng.random() < 0.7:
        jumps[:] = False
    at = np.cumsum(jumps)
    return client.rows(int(at[-1]) + 1)[at]


def _talk(home: FloatArray, kept: float, rng: np.random.Generator) -> FloatArray:
    told = home[:1]
    sent: list[FloatArray] = []
    for drawn_to in home:
        sent.append(told[0])
        new = WORD * some_words(rng, int(rng.integers(1, 4))).sum(axis=0)
        told = to_length_one(kept * told + (1.0 - kept) * drawn_to + kept * new)
    return np.array(sent)


def _moving(dataset: Dataset, rng: np.random.Generator) -> FloatArray:
    """[d] 1 for columns that move: all of them, or in two of five clients only some."""
    if rng.random() < 0.6:
        return np.ones(dataset.columns)
    moving = np.zeros(dataset.columns)
    if dataset.side:
        moving[dataset.box(rng, 0.2, 0.7)] = 1.0
    else:
        inputs = dataset.inputs
        some = max(1, round(float(rng.uniform(0.1, 0.8)) * len(inputs)))
        for which in rng.choice(len(inputs), some, replace=False):
            moving[inputs[which]] = 1.0
    return moving


def _held(state: FloatArray, rng: np.random.Generator, whole: bool) -> FloatArray:
    """The states [n, d] as they are told: in half of the clients, values come anew only now and then, `whole`
    rows at once or each column when its sensor has one, and are told again until then."""
    if rng.random() < 0.5:
        return state
    n, d = state.shape
    anew = rng.random((n, 1 if whole else d)) < rng.uniform(0.2, 0.95)
    anew[0] = True
    last = np.maximum.accumulate(np.where(anew, np.arange(n)[:, None], 0), axis=0)
    return np.asarray(state[last, np.arange(d)])


def _log_uniform(rng: np.random.Generator, span: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))
