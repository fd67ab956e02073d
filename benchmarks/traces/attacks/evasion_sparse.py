"""Evasion that changes few columns, each by much: what fits tables, and forms that a person fills in."""

from __future__ import annotations

import numpy as np

from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.by_hand import asking
from benchmarks.traces.attacks.evasion_decision import Decisions
from detector.query import FloatArray, IntArray


def _blocks(attacker: Attacker, most: int) -> list[IntArray]:
    """The columns in random order as at most `most` blocks; those of one discrete input stay together."""
    inputs = attacker.recorder.target.dataset.inputs
    parts = np.array_split(attacker.rng.permutation(len(inputs)), min(most, len(inputs)))
    return [np.concatenate([inputs[i] for i in part]) for part in parts]


def pointwise(attacker: Attacker) -> None:
    """Pointwise attack: from a record of another class, columns go back to the victim's one after the other,
    as long as the label stays wrong; those that cannot are halved towards it."""
    rng = attacker.rng
    most, halvings = int(rng.choice([20, 60, 200])), int(rng.choice([0, 4, 6]))
    while True:
        rows = attacker.own_rows()[0]
        one = Decisions(attacker, rows[0])
        other = next((row for row in rows[1:6] if one.flips(row[None])[0] > 0), None)
        if other is None:
            continue
        here, blocks = other.copy(), _blocks(attacker, most)
        for block in blocks:
            back = here.copy()
            back[block] = one.source[block]
            if not np.array_equal(back, here) and one.flips(back[None])[0] > 0:
                here = back
        for block in [block for block in blocks if not np.array_equal(here[block], one.source[block])][:8]:
            low, high, far = 0.0, 1.0, here[block].copy()
            for _ in range(halvings):
                middle = (low + high) / 2
                here[block] = one.source[block] + middle * (far - one.source[block])
                low, high = (low, middle) if one.flips(here[None])[0] > 0 else (middle, high)
            here[block] = one.source[block] + high * (far - one.source[block])


class _Descent:
    """A victim, its label, and the changed record that the model is least sure of so far."""

    def __init__(self, attacker: Attacker) -> None:
        self._ask = asking(attacker)
        self.x = self.source = attacker.own_rows()[0][0]
        answer = self._ask(self.x[None])[0]
        self.label, self.least, self.crossed = int(answer.argmax()), float(answer.max()), False

    def offer(self, x: FloatArray) -> bool:
        """Ask for x [d]; keep it if the confidence in the label does not rise."""
        answer = self._ask(x[None])[0]
        self.crossed = bool(answer.argmax() != self.label)
        kept = bool(answer[self.label] <= self.least)
        if kept:
            self.x, self.least = x, float(answer[self.label])
        return kept


def sparse_search(attacker: Attacker) -> None:
    """Sparse-RS: k columns at the ends of their ranges; some of them are exchanged, fewer as it goes on."""
    rng, d = attacker.rng, attacker.columns
    k = max(1, min(d - 1, round(d * float(rng.choice([0.05, 0.1, 0.25])))))
    first, patience = float(rng.choice([0.3, 0.6])), int(rng.choice([60, 120]))
    while True:
        one = _Descent(attacker)
        chosen, ends = rng.permutation(d)[:k], rng.integers(0, 2, d).astype(np.float64)
        for i in range(patience):
            some, values = chosen.copy(), ends.copy()
            if i:
                out = rng.permutation(k)[: max(1, round(k * first * 0.6 ** (6 * i / patience)))]
                free = np.setdiff1d(np.arange(d), some)
                some[out] = rng.choice(free, len(out), replace=len(free) < len(out))
                values[some[out]] = rng.integers(0, 2, len(out))
            x = one.source.copy()
            x[some] = values[some]
            if one.offer(x):
                chosen, ends = some, values
            if one.crossed:
                break


def transplants(attacker: Attacker) -> None:
    """Mimicry: fields of other records are put into the victim's, kept while they help, until it passes (as
    Pierazzi et al. 2020 do with programs)."""
    rng = attacker.rng
    most, donors, patience = (
        int(rng.choice([10, 40, 100])),
        int(rng.choice([1, 5, 20])),
        int(rng.choice([40, 100])),
    )
    while True:
        one = _Descent(attacker)
        givers, blocks = attacker.own_rows()[0][:donors], _blocks(attacker, most)
        for _ in range(patience):
            x, block = one.x.copy(), blocks[int(rng.integers(len(blocks)))]
            x[block] = givers[int(rng.integers(len(givers)))][block]
            if np.array_equal(x, one.x):
                continue
            one.offer(x)
            if one.crossed:
                break
