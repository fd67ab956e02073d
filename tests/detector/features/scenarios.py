"""Synthetic sessions whose features are known: each function returns inputs [n, d] of one session."""

from __future__ import annotations

import numpy as np

from detector.query import FloatArray


def walk(n: int = 200, length: float = 0.01, d: int = 16, seed: int = 0) -> FloatArray:
    """Steps of one length in random directions."""
    steps = np.random.default_rng(seed).normal(size=(n, d))
    return np.cumsum(length * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)


def line(n: int = 200, length: float = 0.01, d: int = 16) -> FloatArray:
    """Equal steps along one line."""
    x = np.zeros((n, d))
    x[:, :2] = length * np.arange(n)[:, None] / np.sqrt(2.0)
    return x


def noise_round_a_centre(n: int = 64, d: int = 4096, seed: int = 0) -> FloatArray:
    """Fresh noise added to one input: HopSkipJump's gradient estimate, randomised smoothing."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=d) + 0.05 * rng.normal(size=(n, d)))


def antithetic_pairs(n: int = 64, d: int = 4096, seed: int = 0) -> FloatArray:
    """Noise added to and subtracted from one input in turn: NES."""
    rng = np.random.default_rng(seed)
    noise = 0.05 * rng.normal(size=(n // 2, d))
    return np.asarray(rng.normal(size=d) + np.stack([noise, -noise], axis=1).reshape(n, d))


def one_column_at_a_time(n: int = 130, d: int = 64) -> FloatArray:
    """Each query changes the next column a little."""
    x = np.zeros((n, d))
    for i in range(1, n):
        x[i] = x[i - 1]
        x[i, i % d] += 0.01
    return x


def binary_search(n: int = 30, d: int = 16, target: float = 2.0 / 3.0) -> FloatArray:
    """Bisecting the line between two inputs for a boundary at `target`."""
    low, high = 0.0, 1.0
    at = []
    for _ in range(n):
        at.append((low + high) / 2.0)
        low, high = (at[-1], high) if at[-1] < target else (low, at[-1])
    ends = np.random.default_rng(1).normal(size=(2, d))
    return np.asarray(ends[0] + np.array(at)[:, None] * (ends[1] - ends[0]))


def two_places(n: int = 300, d: int = 16) -> FloatArray:
    """Back and forth between two far places, each time 0.01 beside where it was before."""
    x = np.zeros((n, d))
    x[1::2, 0] = 1.0
    x[:, 1] = 0.01 * (np.arange(n) // 2)
    return x


def sphere(n: int = 300, d: int = 32, radius: float = 3.0, seed: int = 0) -> FloatArray:
    """Points on a sphere round one input: BREP-MI."""
    u = np.random.default_rng(seed).normal(size=(n, d))
    return np.asarray(7.0 + radius * u / np.linalg.norm(u, axis=1, keepdims=True))


def closing_in(n: int = 300, d: int = 16) -> FloatArray:
    """Steps that shrink by 5% each."""
    x = np.zeros((n, d))
    x[:, 0] = 20.0 * 0.95 ** np.arange(n)
    return x


def centre_after_centre(n: int = 320, d: int = 16, stay: int = 8) -> FloatArray:
    """Near a centre for `stay` queries, then off to the next one."""
    x = walk(n, 0.01, d)
    x[:, 0] += 5.0 * (np.arange(n) // stay)
    return x


def far_apart(n: int = 200, d: int = 16, seed: int = 0) -> FloatArray:
    """Unrelated inputs, some 5.7 from each other."""
    return np.random.default_rng(seed).normal(size=(n, d))


def turns(n: int = 200, d: int = 16) -> FloatArray:
    """Steps of length 1 and e**2 in turn."""
    x = np.zeros((n, d))
    x[:, 0] = np.cumsum(np.where(np.arange(n) % 2 == 0, 1.0, np.exp(2.0)))
    return x


def sign_steps(n: int = 200, d: int = 64, seed: int = 0) -> FloatArray:
    """Each query adds or takes away the same in a random half of the columns."""
    rng = np.random.default_rng(seed)
    return np.cumsum(0.01 * rng.choice([-1.0, 1.0], (n, d)) * (rng.random((n, d)) < 0.5), axis=0)


def two_alike_and_a_number(n: int = 1000) -> FloatArray:
    """Benign rows whose first two columns are both 0 or both 1, half of them each, and the third is spread
    evenly over 0 to 1 in either half."""
    both = np.arange(n) % 2
    return np.column_stack([both, both, np.arange(n) // 2 / (n // 2)]).astype(np.float64)


def alike(number: float, second: float = 0.0, n: int = 100) -> FloatArray:
    """Rows like those, all 0 and `second`, each with another number near `number`."""
    return np.column_stack([np.zeros(n), np.full(n, second), number + 1e-5 * np.arange(n)])
