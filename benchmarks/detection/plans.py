"""What is measured: deployments and cases, in full and in a quick form."""

from __future__ import annotations

from benchmarks.detection.run import Case
from benchmarks.detection.workload import Plan
from benchmarks.traces.attacks import ATTACKS, WORDED
from benchmarks.traces.variants import VARIANTS
from benchmarks.traces.wording.corpora import CORPORA

DATA_SETS = (
    ("digits", "cancer", "wine"),
    ("photos", "phishing", "synthetic"),
    ("segments", "iris", "digits"),
    ("text", "wine", "photos"),
)
"""Deployments take these in turn: an image, a table, and another, of mixed difficulty."""
WRITTEN = (tuple(CORPORA),)
"""The same for models of texts that are written."""
QUICK_BACKGROUND, BACKGROUND = 400, 1500


def deployments(seed: int, count: int, quick: bool, texts: bool = False) -> list[Plan]:
    """`count` deployments from that seed on, of models of texts if so; every other one of the others logs its
    columns in other units."""
    sets = WRITTEN if texts else DATA_SETS
    return [
        Plan(
            seed + i,
            sets[i % len(sets)],
            history_sessions=2400 if quick else 4500,
            benign_sessions=1500 if quick else 9000,
            attacks=tuple(WORDED if texts else ATTACKS),
            budgets=(300,) if quick else (150, 600),
            rescale=i % 2 == 1 and not texts,
        )
        for i in range(count)
    ]


def cases(quick: bool) -> list[Case]:
    """Plain first: all attacks on all models among all benign sessions; then the hard forms, in which the
    models take turns."""
    background = QUICK_BACKGROUND if quick else BACKGROUND
    hidden = [Case(name, variant, "probabilities", background, False) for name, variant in VARIANTS.items()]
    return [
        Case("plain"),
        *(case for case in hidden if case.name != "plain"),
        Case("the log tells rounded confidences", outputs="rounded", background=background, every=False),
        Case("the log tells labels only", outputs="label", background=background, every=False),
        Case("the log tells no outputs", outputs="none", background=background, every=False),
    ]


def compared(quick: bool) -> list[Case]:
    """Cases that the peers are measured on too, all of which log probabilities."""
    few = ("plain", "75% dummies", "slow drip", "25 accounts", "jitter of 2%", "shuffled in windows of 16")
    names = few if quick else tuple(VARIANTS)
    return [case for case in cases(quick) if case.name in names]
