"""Confidence sweeps: what a session's answers say about its aim.

Inversion drives one class's probability up with record after record; boundary attacks hug margin zero
and flip labels between near inputs; membership tests read saturated confidences.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features.forget import blend, rate, slow_rate
from detector.features.layout import (
    ANSWERS,
    CLASSES,
    CLOSE_FLIPS,
    CONFIDENCE_SHARE,
    CONFIDENCE_STEP,
    DOUBT,
    FLIPS,
    LABEL_SHARE,
    LABELS,
    LAST_CONFIDENCE,
    LAST_RISE,
    MARGIN,
    MARGINS,
    P_BEST,
    P_LAST,
    P_LONGER,
    P_RECENT,
    P_RECORD,
    P_TREND,
    SHARE_LEVELS,
    TARGET,
)
from models.compiled import jit

NEAR_FLIP = 0.5
SMALLEST_CHANGE = 1e-9
FLOOR = 1e-6


@jit
def see_class(answers: Any, shares: Any, c: int, p: float, weight: float, slow: float) -> float:
    """Account for probability p of folded class c; returns its change since it was last seen (0 at first)."""
    p = float(np.float32(p))  # as it is kept: the same probability again is no change
    last = answers[P_LAST, c]
    change = 0.0
    if np.isnan(last):
        answers[P_BEST, c] = p
        answers[P_RECENT, c] = p
        answers[P_LONGER, c] = p
    else:
        change = p - last
        if abs(change) < SMALLEST_CHANGE:
            change = 0.0
        move(shares, P_TREND, c, np.sign(change), weight)
        move(shares, P_RECORD, c, 1.0 if p > answers[P_BEST, c] + SMALLEST_CHANGE else 0.0, weight)
        answers[P_BEST, c] = max(answers[P_BEST, c], p)
    answers[P_RECENT, c] += weight * (p - answers[P_RECENT, c])
    answers[P_LONGER, c] += slow * (p - answers[P_LONGER, c])
    answers[P_LAST, c] = p
    return change


@jit
def see_probabilities(
    p: Any, label: int, confidence: float, answers: Any, shares: Any, row: Any, folded: Any
) -> None:
    """Trends and records per class. p [k], NaN padded; with a confidence only, the label's class is meant.

    Also remembers whether the class aimed at (the label of the query before) rose: `LAST_RISE`.
    """
    weight = rate(row[ANSWERS])
    slow = slow_rate(row[ANSWERS])
    folded[:] = np.nan
    for c in range(p.shape[0]):
        if not np.isnan(p[c]):
            f = c % CLASSES
            folded[f] = p[c] if np.isnan(folded[f]) else min(folded[f] + p[c], 1.0)
    if np.isnan(folded).all():
        folded[max(label, 0) % CLASSES] = confidence
    target = int(row[TARGET])
    row[LAST_RISE] = 0.0
    for c in range(CLASSES):
        if not np.isnan(folded[c]):
            change = see_class(answers, shares, c, folded[c], weight, slow)
            if c == target:
                row[LAST_RISE] = change
    row[TARGET] = max(label, 0) % CLASSES


@jit
def see_answer(
    p: Any, confidence: float, margin: float, label: int, length: float, slots: Any, s: int, row: Any
) -> None:
    """Account for one answer. NaN confidence or margin and label -1 mean that the log has none.

    `length` is the distance to the previous query, NaN at a session's first. Cost O(k + 2 CLASSES).
    """
    shares = slots.shares[s]
    if not np.isnan(confidence):
        row[ANSWERS] += 1.0
        weight = rate(row[ANSWERS])
        see_probabilities(p, label, confidence, slots.answers[s], shares, row, np.empty(CLASSES))
        spread(shares, CONFIDENCE_SHARE, min(int(confidence * CLASSES), CLASSES - 1), weight)
        blend(row, DOUBT, np.log(1.0 - min(confidence, 1.0) + FLOOR), weight)
        kept = np.float32(confidence)
        if row[ANSWERS] > 1.0:
            change = abs(kept - row[LAST_CONFIDENCE])
            blend(row, CONFIDENCE_STEP, np.log(change + FLOOR), rate(row[ANSWERS] - 1.0))
        row[LAST_CONFIDENCE] = kept
    if not np.isnan(margin):
        row[MARGINS] += 1.0
        blend(row, MARGIN, np.log(margin + 1e-3), rate(row[MARGINS]))
    if label >= 0:
        row[LABELS] += 1.0
        spread(shares, LABEL_SHARE, label % CLASSES, rate(row[LABELS]))
        if row[LABELS] > 1.0:
            weight = rate(row[LABELS] - 1.0)
            flip = label != slots.last_label[s]
            blend(row, FLIPS, 1.0 if flip else 0.0, weight)
            blend(row, CLOSE_FLIPS, 1.0 if flip and length < NEAR_FLIP else 0.0, weight)
        slots.last_label[s] = label


@jit
def move(shares: Any, block: int, c: int, value: float, weight: float) -> None:
    """Move a forgetting share of class c, in [-1, 1], towards `value`, which is -1, 0 or 1.

    It is kept in SHARE_LEVELS, and rounded towards `value`, so that it gets there.
    """
    level, to = shares[block, c], value * SHARE_LEVELS
    moved = level + weight * (to - level)
    shares[block, c] = np.int16(np.ceil(moved) if to > level else np.floor(moved))


@jit
def spread(shares: Any, block: int, which: int, weight: float) -> None:
    """Move a forgetting histogram towards bin `which`."""
    for c in range(CLASSES):
        if c == which or shares[block, c] != 0:
            move(shares, block, c, 1.0 if c == which else 0.0, weight)


@jit
def entropy(share: Any) -> float:
    """Entropy of a histogram [CLASSES] as a share of its maximum, in [0, 1]."""
    total = 0.0
    for c in range(share.shape[0]):
        if share[c] > 0:
            part = share[c] / SHARE_LEVELS
            total -= part * np.log(part)
    return float(total / np.log(share.shape[0]))


@jit
def concentration(share: Any) -> float:
    """Sum of squared shares, in [1/CLASSES, 1]."""
    total = 0.0
    for c in range(share.shape[0]):
        part = share[c] / SHARE_LEVELS
        total += part * part
    return float(total)


@jit
def largest_rise(recent: Any, longer: Any) -> float:
    """Largest excess of a recent mean over the longer-term one."""
    best = recent[0] - longer[0]
    for c in range(recent.shape[0]):
        best = max(best, recent[c] - longer[c])
    return float(best)


@jit
def largest(share: Any) -> float:
    """Largest of the shares."""
    best = share[0]
    for c in range(share.shape[0]):
        best = max(best, share[c])
    return float(best / SHARE_LEVELS)
