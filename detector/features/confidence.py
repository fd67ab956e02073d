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
from models.compiled import inlined, part

NEAR_FLIP = 0.5
SMALLEST_CHANGE = 1e-9
FLOOR = 1e-6


@inlined
def see_classes(
    answers: Any, shares: Any, folded: Any, used: int, weight: float, slow: float, changes: Any
) -> None:
    """Account for the probabilities of the first `used` of the folded classes [CLASSES], NaN where there is
    none; changes [CLASSES] receives how each class changed since it was last seen (0 at first)."""
    last, best = part(answers, P_LAST), part(answers, P_BEST)
    recent, longer = part(answers, P_RECENT), part(answers, P_LONGER)
    trend, record = part(shares, P_TREND), part(shares, P_RECORD)
    changes[:] = 0.0
    for c in range(used):
        folded[c] = np.float32(folded[c])  # as it is kept: the same probability again is no change
    # A loop each, with few arrays, so that it runs over several classes at once. A change is NaN where one of
    # the two probabilities is.
    for c in range(used):
        change = folded[c] - last[c]
        changes[c] = change if abs(change) >= SMALLEST_CHANGE else 0.0
    for c in range(used):
        rises = 1.0 if changes[c] > 0.0 else 0.0
        to = -1.0 if changes[c] < 0.0 else rises
        trend[c] = trend[c] if np.isnan(folded[c] - last[c]) else moved(trend[c], to, weight)
    for c in range(used):
        higher = 1.0 if folded[c] > best[c] + SMALLEST_CHANGE else 0.0
        record[c] = record[c] if np.isnan(folded[c] - last[c]) else moved(record[c], higher, weight)
    for c in range(used):
        first = np.isnan(last[c]) and not np.isnan(folded[c])
        best[c] = folded[c] if first or folded[c] > best[c] else best[c]
    for c in range(used):
        before = folded[c] if np.isnan(last[c]) else recent[c]
        recent[c] = recent[c] if np.isnan(folded[c]) else before + weight * (folded[c] - before)
    for c in range(used):
        before = folded[c] if np.isnan(last[c]) else longer[c]
        longer[c] = longer[c] if np.isnan(folded[c]) else before + slow * (folded[c] - before)
    for c in range(used):
        last[c] = last[c] if np.isnan(folded[c]) else folded[c]


@inlined
def see_probabilities(
    p: Any, label: int, confidence: float, answers: Any, shares: Any, row: Any, folded: Any, changes: Any
) -> None:
    """Trends and records per class. p [k], NaN padded; with a confidence only, the label's class is meant.

    Also remembers whether the class aimed at (the label of the query before) rose: `LAST_RISE`.
    """
    folded[:] = np.nan
    none, used = True, min(p.shape[0], CLASSES)
    for c in range(p.shape[0]):
        if not np.isnan(p[c]):
            f = c % CLASSES
            folded[f] = p[c] if np.isnan(folded[f]) else min(folded[f] + p[c], 1.0)
            none = False
    if none:
        folded[max(label, 0) % CLASSES], used = confidence, CLASSES
    see_classes(answers, shares, folded, used, rate(row[ANSWERS]), slow_rate(row[ANSWERS]), changes)
    target = int(row[TARGET])
    row[LAST_RISE] = changes[target] if target >= 0 else 0.0
    row[TARGET] = max(label, 0) % CLASSES


@inlined
def see_answer(
    p: Any,
    confidence: float,
    margin: float,
    label: int,
    length: float,
    slots: Any,
    s: int,
    row: Any,
    work: Any,
) -> None:
    """Account for one answer. NaN confidence or margin and label -1 mean that the log has none.

    `length` is the distance to the previous query, NaN at a session's first; work: `kernel.Scratch`.
    Cost O(k + 2 CLASSES).
    """
    shares = part(slots.shares, s)
    if not np.isnan(confidence):
        row[ANSWERS] += 1.0
        weight = rate(row[ANSWERS])
        see_probabilities(
            p, label, confidence, part(slots.answers, s), shares, row, work.folded, work.changes
        )
        spread(part(shares, CONFIDENCE_SHARE), min(int(confidence * CLASSES), CLASSES - 1), weight)
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
        spread(part(shares, LABEL_SHARE), label % CLASSES, rate(row[LABELS]))
        if row[LABELS] > 1.0:
            weight = rate(row[LABELS] - 1.0)
            flip = label != slots.last_label[s]
            blend(row, FLIPS, 1.0 if flip else 0.0, weight)
            blend(row, CLOSE_FLIPS, 1.0 if flip and length < NEAR_FLIP else 0.0, weight)
        slots.last_label[s] = label


@inlined
def moved(level: Any, value: float, weight: float) -> Any:
    """A forgetting share in [-1, 1], kept in SHARE_LEVELS, moved towards `value`, which is -1, 0 or 1.

    It is rounded towards `value`, so that it gets there.
    """
    to = value * SHARE_LEVELS
    between = level + weight * (to - level)
    # By way of 32 bits: processors convert many floats at once to these only.
    return np.int16(np.int32(np.ceil(between) if to > level else np.floor(between)))


@inlined
def spread(share: Any, which: int, weight: float) -> None:
    """Move a forgetting histogram [CLASSES] towards bin `which`."""
    for c in range(CLASSES):
        share[c] = moved(share[c], 1.0 if c == which else 0.0, weight)


@inlined
def entropy(share: Any) -> float:
    """Entropy of a histogram [CLASSES] as a share of its maximum, in [0, 1]."""
    total = 0.0
    for c in range(share.shape[0]):
        if share[c] > 0:
            part = share[c] / SHARE_LEVELS
            total -= part * np.log(part)
    return float(total / np.log(share.shape[0]))


@inlined
def concentration(share: Any) -> float:
    """Sum of squared shares, in [1/CLASSES, 1]."""
    total = 0.0
    for c in range(share.shape[0]):
        part = share[c] / SHARE_LEVELS
        total += part * part
    return float(total)


@inlined
def largest_rise(recent: Any, longer: Any) -> float:
    """Largest excess of a recent mean over the longer-term one."""
    best = recent[0] - longer[0]
    for c in range(recent.shape[0]):
        best = max(best, recent[c] - longer[c])
    return float(best)


@inlined
def largest(share: Any) -> float:
    """Largest of the shares."""
    best = share[0]
    for c in range(share.shape[0]):
        best = max(best, share[c])
    return float(best / SHARE_LEVELS)
