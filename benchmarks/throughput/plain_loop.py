"""(a) of `peers`: querywatch's duty as one would write it without columns and compiled kernels.

A loop of kafka-python, `json`, dicts and numpy, one event at a time: the features of
`detector.features.catalogue` by name, with the same memories, and River's half-space trees at each evaluation
point. Left out: clients, campaigns, the other models, the alert. Distances are between whole inputs, not
sketches.

`python -m benchmarks.throughput.plain_loop JSON` is one run in a process of its own.
"""

from __future__ import annotations

import base64
import json
import math
import sys
import time
import uuid
from collections import deque
from collections.abc import Generator, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaConsumer
from numpy.typing import NDArray
from river.anomaly import HalfSpaceTrees

from detector import profile as profiles
from detector.features.grids import OFF_STEP
from detector.features.inputs import Inputs

TREES, HEIGHT, WINDOW = 15, 6, 250
MEMORY, LONG_MEMORY, RING, BINS = 16, 64, 16, 16
FIRST, TINY = 8, 1e-9
Vector = NDArray[np.float64]


class Session:
    """Running statistics of one session: a dict of forgetting means, and the last inputs and answers."""

    def __init__(self) -> None:
        self.n = self.steps = self.near_run = 0
        self.means: dict[str, float] = {}
        self.ring: deque[tuple[Vector, Vector]] = deque(maxlen=RING)
        self.step: Vector | None = None
        self.length = self.rise = 0.0
        self.centre: Vector | None = None
        self.label, self.confidence = -1, 0.0
        self.last: Vector | None = None
        self.best = self.trend = self.records = self.recent = self.longer = np.zeros(0)
        self.labels, self.confidences = [0.0] * BINS, [0.0] * BINS

    def blend(self, name: str, value: float, seen: int, memory: int = MEMORY) -> None:
        """Move a mean towards `value`, the `seen`-th observation."""
        old = self.means.get(name, 0.0)
        self.means[name] = old + (value - old) / min(seen, memory)

    def see(self, x: Vector, p: Vector, inputs: Inputs) -> None:
        """Account for one input [d] and its answer [k]."""
        repeat = any(np.array_equal(x, old) for old, _ in self.ring)
        self.blend("exact_duplicates", 1.0 if repeat else 0.0, self.n + 1)
        if repeat:
            return
        self.n += 1
        z = (x - inputs.location) * inputs.weight
        self._strangeness(x, z, inputs)
        length = self._step(x, z, inputs) if self.ring else math.inf
        if self.n >= 4:
            self._centre(z)
        self.ring.append((x, z))
        self._answer(p, length)

    def _strangeness(self, x: Vector, z: Vector, inputs: Inputs) -> None:
        steps = (x - inputs.origin) * inputs.per_step
        off = (x < inputs.low[0]) | (x > inputs.high[0]) | (np.abs(steps - np.rint(steps)) > OFF_STEP)
        self.blend("off_grid", float(off.mean()), self.n)
        along = inputs.components[0] @ z
        rest = max(float(z @ z - along @ along), 0.0)
        self.blend("off_manifold", math.log(math.sqrt(rest) + TINY), self.n)
        bins = (x[inputs.asked] > inputs.cuts).sum(axis=0)
        rarity = float(inputs.rarity[0, np.arange(len(bins)), bins].sum()) / max(len(bins), 1)
        self.blend("rare_values", rarity, self.n)
        one, other = bins[inputs.pairs.T]
        conflict = float(inputs.conflict[0, np.arange(len(one)), one, other].sum()) / max(len(one), 1)
        self.blend("rare_pairs", conflict, self.n)

    def _step(self, x: Vector, z: Vector, inputs: Inputs) -> float:
        self.steps += 1
        n, blend = self.steps, self.blend
        raw = x - self.ring[-1][0]
        step = raw * inputs.weight
        length = max(math.sqrt(float(step @ step)), TINY)
        changed = int(np.count_nonzero(raw))
        blend("step_length", math.log(length), n)
        blend("step_length_2", math.log(length) ** 2, n)
        blend("step_sparsity", math.log2(max(changed, 1) / len(x)), n)
        blend("one_column_steps", 1.0 if changed == 1 else 0.0, n)
        even = np.abs(raw) * inputs.per_range
        square = changed * float(even @ even)
        blend("step_evenness", float(even.sum()) ** 2 / square if square > 0.0 else 0.0, n)
        apart = np.array([old for _, old in self.ring]) - z
        distances = np.sqrt(np.einsum("ij,ij->i", apart, apart))
        nearest = min(float(distances.min()), length)
        blend("near_duplicates", 1.0 if nearest < 0.25 else 0.0, n)
        blend("nearest_distance", math.log(nearest + TINY), n)
        blend("nearest_slow", math.log(nearest + TINY), n, LONG_MEMORY)
        blend("centre_changes", 1.0 if nearest > 0.5 and self.near_run >= 4 else 0.0, n, LONG_MEMORY)
        self.near_run = self.near_run + 1 if nearest < 0.25 else 0 if nearest > 0.5 else self.near_run
        if len(distances) > 1:
            blend("returns", 1.0 if float(distances[:-1].min()) < 0.5 * length else 0.0, n)
        if self.step is not None:
            self._turn(float(step @ self.step) / (length * self.length), length, n - 1)
        self.step, self.length = step, length
        return length

    def _turn(self, cosine: float, length: float, n: int) -> None:
        blend, octaves = self.blend, math.log2(length / self.length)
        blend("step_cosine", cosine, n)
        atom = abs(cosine + 0.5) < 0.03 or abs(cosine + math.sqrt(0.5)) < 0.03
        blend("cosine_atoms", 1.0 if atom else 0.0, n)
        line = cosine < -0.985 or (cosine > 0.985 and abs(octaves) > 0.5)
        blend("collinear_steps", 1.0 if line else 0.0, n)
        even = abs(octaves) < 1.5 and abs(octaves - round(octaves)) < 0.015
        blend("halving_steps", 1.0 if even else 0.0, n)
        if self.rise:
            blend("answer_following", math.copysign(cosine, cosine * self.rise), n)

    def _centre(self, z: Vector) -> None:
        if self.centre is None:
            self.centre = z.copy()
            return
        away = z - self.centre
        radius = math.log(math.sqrt(float(away @ away)) + TINY)
        self.centre += away / min(self.n - 3, MEMORY)
        self.blend("centroid_distance", radius, self.n - 3)
        self.blend("centroid_distance_2", radius**2, self.n - 3)

    def _answer(self, p: Vector, length: float) -> None:
        n, blend = self.n, self.blend
        label = int(p.argmax())
        second, top = np.partition(p, -2)[-2:].tolist()
        if self.last is None:
            self.best, self.recent, self.longer = p.copy(), p.copy(), p.copy()
            self.trend, self.records = np.zeros(len(p)), np.zeros(len(p))
        else:
            change = p - self.last
            self.trend += (np.sign(change) - self.trend) / min(n, MEMORY)
            self.records += ((p > self.best) - self.records) / min(n, MEMORY)
            self.best = np.maximum(self.best, p)
            self.recent += (p - self.recent) / min(n, MEMORY)
            self.longer += (p - self.longer) / min(n, LONG_MEMORY)
            self.rise = float(change[self.label])
            blend("confidence_step", math.log(abs(top - self.confidence) + 1e-6), n - 1)
            blend("label_flips", 1.0 if label != self.label else 0.0, n - 1)
            blend("close_flips", 1.0 if label != self.label and length < 0.5 else 0.0, n - 1)
        blend("log_margin", math.log(top - second + 1e-3), n)
        blend("log_doubt", math.log(1.0 - top + 1e-6), n)
        for bins, which in ((self.labels, label % BINS), (self.confidences, min(int(top * BINS), BINS - 1))):
            for k in range(BINS):
                bins[k] *= 1.0 - 1.0 / min(n, MEMORY)
            bins[which] += 1.0 / min(n, MEMORY)
        self.last, self.label, self.confidence = p, label, top

    def features(self) -> dict[str, float]:
        """All features by name, squashed into [0, 1], where half-space trees look."""
        found = dict(self.means)
        slow = found.pop("nearest_slow", 0.0)
        found["distance_trend"] = found.get("nearest_distance", 0.0) - slow
        for name, target in (
            ("step_length", "step_irregularity"),
            ("centroid_distance", "radius_irregularity"),
        ):
            square = found.pop(f"{name}_2", 0.0)
            found[target] = math.sqrt(max(square - found.get(name, 0.0) ** 2, 0.0))
        found["confidence_trend"] = float(self.trend.max())
        found["record_highs"] = float(self.records.max())
        found["confidence_drift"] = float((self.recent - self.longer).max())
        found["confidence_coverage"] = -sum(s * math.log(s) for s in self.confidences if s > 0.0)
        found["label_monopoly"] = sum(s * s for s in self.labels)
        return {name: 0.5 + 0.5 * math.tanh(0.5 * value) for name, value in found.items()}


def run(events: Iterator[bytes], inputs: Inputs, every: int) -> tuple[int, float]:
    """Account for each event; score and teach at every `every`-th input of a session from the 8th on.

    Returns how many evaluation points there were, and processor seconds from the first event on.
    """
    model: Any = HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, seed=1)
    sessions: dict[tuple[str, str], Session] = {}
    begun, points = 0.0, 0
    for event in events:
        begun = begun or time.process_time()
        query = json.loads(event)
        key = (query["client_id"], query["session_id"])
        session = sessions.get(key)
        if session is None:
            session = sessions[key] = Session()
        session.see(numbers(query["input"]), np.array(query["probabilities"]), inputs)
        if session.n >= FIRST and session.n % every == 0:
            features = session.features()
            model.score_one(features)
            model.learn_one(features)
            points += 1
    return points, time.process_time() - begun


def numbers(found: Any) -> Vector:
    """An input as the log has it, as an array [d]."""
    if isinstance(found, list):
        return np.array(found, dtype=np.float64)
    return np.frombuffer(base64.b64decode(found["b64"]), dtype="<f4").astype(np.float64)


def from_kafka(bootstrap: str, topic: str) -> Generator[bytes, None, None]:
    """The values of a topic, without an end."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        while True:
            polled = consumer.poll(timeout_ms=500, max_records=4096)
            yield from (record.value for record in chain.from_iterable(polled.values()))
    finally:
        consumer.close()


def main() -> None:
    """One run as the JSON argument says: bootstrap, topic, queries, every, profile."""
    wanted = json.loads(sys.argv[1])
    (profile,) = profiles.load(Path(wanted["profile"])).values()
    events = from_kafka(wanted["bootstrap"], wanted["topic"])
    points, seconds = run(islice(events, wanted["queries"]), profile.inputs, wanted["every"])
    print(json.dumps({"points": points, "seconds": seconds}))


if __name__ == "__main__":
    main()
