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
def see_classes(answers: Any, shares: Any, folded: Any, weight: float, slow: float, changes: Any) -> None:
    """Account for the probabilities of the folded classes [CLASSES], NaN where there is none; changes
    [CLASSES] receives how each changed since it was last seen (0 at first).

    Nothing in the loop branches, so that it runs over many classes at once.
    """
    last, best = part(answers, P_LAST), part(answers, P_BEST)
    recent, longer = part(answers, P_RECENT), part(answers, P_LONGER)
    trend, record = part(shares, P_TREND), part(shares, P_RECORD)
    for c in range(CLASSES):
        p = float(np.float32(folded[c]))  # as it is kept: the same probability again is no change
        given, known = not np.isnan(p), not np.isnan(last[c])
        change = p - last[c] if given and known else 0.0
        change = change if abs(change) >= SMALLEST_CHANGE else 0.0
        changes[c] = change
        rises = 1.0 if change > 0.0 else 0.0
        to = rises - 1.0 if change < 0.0 else rises
        moves = given and known
        trend[c] = moved(trend[c], to, weight) if moves else trend[c]
        record[c] = (
            moved(record[c], 1.0 if p > best[c] + SMALLEST_CHANGE else 0.0, weight) if moves else record[c]
        )
        first = given and not known
        best[c] = p if first or (given and p > best[c]) else best[c]
        was, was_longer = p if first else recent[c], p if first else longer[c]
        recent[c] = was + weight * (p - was) if given else recent[c]
        longer[c] = was_longer + slow * (p - was_longer) if given else longer[c]
        last[c] = p if given else last[c]


@inlined
def see_probabilities(
    p: Any, label: int, confidence: float, answers: Any, shares: Any, row: Any, folded: Any, changes: Any
) -> None:
    """Trends and records per class. p [k], NaN padded; with a confidence only, the label's class is meant.

    Also remembers whether the class aimed at (the label of the query before) rose: `LAST_RISE`.
    """
    folded[:] = np.nan
    none = True
    for c in range(p.shape[0]):
        if not np.isnan(p[c]):
            f = c % CLASSES
            folded[f] = p[c] if np.isnan(folded[f]) else min(folded[f] + p[c], 1.0)
            none = False
    if none:
        folded[max(label, 0) % CLASSES] = confidence
    see_classes(answers, shares, folded, rate(row[ANSWERS]), slow_rate(row[ANSWERS]), changes)
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
    return np.int16(np.ceil(between) if to > level else np.floor(between))


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
