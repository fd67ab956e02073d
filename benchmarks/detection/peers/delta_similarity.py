"""Delta similarity (GWAD, Park et al. 2025): the angle between a client's successive steps."""

from __future__ import annotations

import hashlib
import warnings
from functools import cache

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks.detection.peers.base import Stream
from benchmarks.traces.benign import KINDS, Client
from benchmarks.traces.recording import BoolArray, record
from benchmarks.traces.targets import Target, train
from detector.query import FloatArray

WIDTH, BINS = 256, 200
KNOWN = ("hop_skip_jump", "nes", "simba", "sign_opt", "boundary", "square")
LAYERS = (512, 512, 256, 128, 64)
EPOCHS = 30
SEED, BUDGET, STEP = 777, 900, 16


class DeltaSimilarity:
    """The histogram of a client's last 256 cosines between successive steps, judged by a network taught on
    benign clients and evasion attacks. The released weights are for images of CIFAR-10 and are not used:
    the network is taught here, always on histograms of one sender: the same attacks against another model
    of the same data set, a client of every benign kind of that model, and those clients of the deployment's
    history who sent enough. The screener for dummies (GWAD+) works on edges of images and is left out.
    """

    name = "Delta similarity (GWAD)"

    def __init__(self) -> None:
        self._taught: dict[tuple[str, str], MLPClassifier] = {}

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """First verdict at a client's 258th query."""
        network = self.network(history)
        alarm = np.zeros(len(trace), dtype=np.bool_)
        for mine in trace.by_client():
            if len(mine) >= WIDTH + 2:
                alarm[mine[WIDTH + 1 :]] = network.predict(histograms(trace.unit[mine])) > 0
        return alarm

    def network(self, history: Stream) -> MLPClassifier:
        """What judges this deployment, taught once: 0 for benign."""
        data_set = history.target.dataset.name
        key = (data_set, hashlib.sha256(history.unit.tobytes()).hexdigest())
        if key not in self._taught:
            parts = [*_known(data_set), *((0, h[::STEP]) for h in benign_histograms(history))]
            taught = np.repeat([label for label, _ in parts], [len(h) for _, h in parts])
            network = MLPClassifier(LAYERS, max_iter=EPOCHS, random_state=0)
            with threadpool_limits(1), warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs are enough
                self._taught[key] = network.fit(np.vstack([h for _, h in parts]), taught)
        return self._taught[key]


def benign_histograms(history: Stream) -> list[FloatArray]:
    """The histograms of each client of the history who sent enough for one."""
    return [histograms(history.unit[mine]) for mine in history.by_client() if len(mine) >= WIDTH + 2]


def histograms(unit: FloatArray) -> FloatArray:
    """[n - 257, 201] of one sender's inputs [n, d] in order: a histogram of every 256 successive cosines,
    scaled to 0..1. Raises ValueError for fewer than 258 inputs."""
    bins = np.clip(((_cosines(unit) + 1.0) / 2.0 * BINS).astype(np.int64), 0, BINS)
    ones = np.zeros((len(bins) + 1, BINS + 1))
    ones[np.arange(1, len(bins) + 1), bins] = 1.0
    sums = ones.cumsum(axis=0)
    counts = sums[WIDTH:] - sums[:-WIDTH]
    return np.asarray(counts / counts.max(axis=1, keepdims=True))


def _cosines(unit: FloatArray) -> FloatArray:
    """[n - 2] cosines between successive steps of inputs without their mean; 0 where one stood still."""
    steps = np.diff(unit - unit.mean(axis=1, keepdims=True), axis=0)
    norms = np.linalg.norm(steps, axis=1)
    lengths = norms[1:] * norms[:-1]
    return np.asarray((steps[1:] * steps[:-1]).sum(axis=1) / np.where(lengths > 0, lengths, 1.0))


@cache
def _known(data_set: str) -> list[tuple[int, FloatArray]]:
    """Histograms of the known attacks (1, 2, ...) and of benign clients (0) of a model of this data set that
    nobody watches."""
    with threadpool_limits(1):
        target = train(data_set, SEED)
        runs = [record(target, name, BUDGET, 9, np.random.default_rng(SEED)) for name in KNOWN]
    sent = [(label, target.dataset.to_unit(run.inputs)) for label, run in enumerate(runs, 1)]
    sent += [(0, unit) for unit in _honest(target)]
    return [(label, histograms(unit)[::STEP]) for label, unit in sent if len(unit) >= WIDTH + 2]


def _honest(target: Target) -> list[FloatArray]:
    """The inputs of a long-lived client of every kind."""
    rng = np.random.default_rng(SEED)
    clients = [Client(target.population, rng, rng.dirichlet(np.ones(target.dataset.classes))) for _ in KINDS]
    kinds = zip(clients, KINDS.values(), strict=True)
    return [target.dataset.to_unit(kind.draw(client, BUDGET)) for client, kind in kinds]
