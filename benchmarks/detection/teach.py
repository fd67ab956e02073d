"""`python -m benchmarks.detection.teach`: teach the recogniser, and try it on what it was not taught.

Deployments over many data sets and models are made, with every attack against each of them, in several
forms (diluted, short, confidences or labels only). Each evaluation point enters as signed surprises in its
own deployment's profile. The one that is shipped is taught on all. Then tables are printed of recognisers
that were taught without one data set, and without one attack.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.detection.collect import Points, collect
from benchmarks.detection.left_out import Outcome, by_attack, by_data_set, first_alerts
from benchmarks.traces import Variant, make
from benchmarks.traces.attacks import ATTACKS
from detector.features.catalogue import NAMES
from detector.query import FloatArray, IntArray
from models.base import Arrays
from models.recogniser import SHIPPED, Recogniser

CLASSES = ("benign", "inversion", "membership_inference", "extraction", "evasion")
DATA_SETS = ("digits", "cancer", "wine", "segments", "phishing", "photos", "synthetic")
UNTAUGHT = ("knockoff_held_out", "active_thief_held_out", "score_membership")
"""Ordinary queries by any measure: to teach them as an attack would teach that honest clients are one."""
TREES, LEAVES = 80, 12
IMPOSSIBLE = -30.0
FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"rescale": True},
    {"variant": Variant(dilution=0.5)},
    {"queries": (60, 250)},
    {"outputs": "confidence"},
    {"outputs": "label", "variant": Variant(dilution=0.25)},
)


def main(
    seed: Annotated[int, typer.Option(help="First seed; each deployment takes the next one.")] = 100,
    rounds: Annotated[int, typer.Option(help="Deployments of each form.", min=1)] = 2,
    output: Annotated[Path, typer.Option(help="Where the recogniser goes.")] = SHIPPED,
    validate: Annotated[bool, typer.Option(help="Print the tables of what was left out.")] = True,
) -> None:
    """Make deployments, teach on all of them, write; then print what was left out in turn."""
    progress, console = Console(stderr=True), Console(width=110)
    started = time.monotonic()
    taught: list[Points] = []
    deployments: list[tuple[Points, Points]] = []
    for number in range(rounds * len(FORMS)):
        form = FORMS[number % len(FORMS)]
        # Models and attacks take turns, so another order gives other pairs of them.
        order = tuple(np.roll(DATA_SETS, number).tolist())
        with tempfile.TemporaryDirectory() as directory:
            truth = make(
                Path(directory),
                seed=seed + number,
                history_sessions=3000,
                benign_sessions=1400,
                attacks=tuple(ATTACKS),
                repeats=4,
                models=order,
                **form,
            )
            learned, tried = collect(Path(directory), truth)
            taught += learned + tried
            deployments += zip(learned, tried, strict=True)
        progress.print(f"[{time.monotonic() - started:5.0f} s] seed {seed + number}: {form or 'plain'}")
    provenance = {
        "made_by": "python -m benchmarks.detection.teach",
        "seeds": [seed, seed + rounds * len(FORMS) - 1],
        "data_sets": DATA_SETS,
        "attacks": [attack for attack in ATTACKS if attack not in UNTAUGHT],
        "forms": [json.dumps(form, sort_keys=True, default=Variant.settings) for form in FORMS],
        "evaluation_points": int(sum(len(points.family) for points in taught)),
        "scikit-learn": version("scikit-learn"),
    }
    teach(taught, provenance).save(output)
    progress.print(f"[{time.monotonic() - started:5.0f} s] {output}: {output.stat().st_size:,} bytes")
    if validate:
        outcomes = []
        for name in DATA_SETS:
            others = [points for points in taught if points.data_set != name]
            recogniser, full, alone = teach(others, {}), Outcome(), Outcome()
            for past, now in deployments:
                if past.data_set == name:
                    full.add(now, first_alerts(past, now, recogniser))
                    alone.add(now, first_alerts(past, now, None))
            outcomes.append((name, full, alone))
        console.print(by_data_set(outcomes))
        console.print(by_attack(outcomes))
        console.print(_left_out(taught, DATA_SETS, "data set"))
        console.print(_left_out(taught, [a for a in ATTACKS if a not in UNTAUGHT], "attack"))


def _matrix(taught: Sequence[Points]) -> tuple[FloatArray, IntArray, list[str], list[str]]:
    """Surprises, class numbers, attack kind and data set of all points that may teach."""
    x, y, kinds, sets = [], [], [], []
    for points in taught:
        keep = np.array([kind not in UNTAUGHT for kind in points.kind], dtype=np.bool_)
        x.append(np.nan_to_num(points.surprises[keep]))
        y += [CLASSES.index(f) for f, k in zip(points.family, keep, strict=True) if k]
        kinds += [kind for kind, k in zip(points.kind, keep, strict=True) if k]
        sets += [points.data_set] * int(keep.sum())
    return np.vstack(x), np.array(y, dtype=np.int64), kinds, sets


def _fit(x: FloatArray, y: IntArray) -> HistGradientBoostingClassifier:
    """Every attack family weighs as much as the others, and all together as much as benign traffic."""
    counts = np.bincount(y, minlength=len(CLASSES))
    weight = np.ones(len(y))
    for c in range(1, len(CLASSES)):
        weight[y == c] = counts[0] / (len(CLASSES) - 1) / max(counts[c], 1)
    return HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        learning_rate=0.15,
        l2_regularization=5.0,
        min_samples_leaf=100,
        random_state=0,
    ).fit(x, y, sample_weight=weight)


def teach(taught: Sequence[Points], provenance: dict[str, Any]) -> Recogniser:
    """Boosted trees over all points, laid out as arrays."""
    x, y, _, _ = _matrix(taught)
    return lay_out(_fit(x, y), provenance)


def lay_out(boosted: HistGradientBoostingClassifier, provenance: dict[str, Any]) -> Recogniser:
    """scikit-learn's trees as padded arrays [classes, trees, nodes]."""
    stages = boosted._predictors
    shape = (len(CLASSES), len(stages), max(len(tree.nodes) for stage in stages for tree in stage))
    feature = np.full(shape, -1, dtype=np.int32)
    left, right = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    threshold, value = np.zeros(shape), np.zeros(shape)
    # A family whose only attack was left out has no trees, and no chance.
    baseline = np.full(len(CLASSES), IMPOSSIBLE)
    baseline[boosted.classes_] = np.asarray(boosted._baseline_prediction, dtype=np.float64).ravel()
    for t, stage in enumerate(stages):
        for c, tree in zip(boosted.classes_, stage, strict=True):
            nodes, n = tree.nodes, len(tree.nodes)
            leaf = nodes["is_leaf"].astype(np.bool_)
            feature[c, t, :n] = np.where(leaf, -1, nodes["feature_idx"])
            left[c, t, :n], right[c, t, :n] = nodes["left"], nodes["right"]
            threshold[c, t, :n] = np.where(leaf, 0.0, nodes["num_threshold"])
            value[c, t, :n] = nodes["value"]
    arrays: Arrays = {
        "feature": feature,
        "threshold": threshold,
        "left": left,
        "right": right,
        "value": value,
        "baseline": baseline,
    }
    return Recogniser(arrays, {"classes": CLASSES, "features": NAMES, "provenance": provenance})


def _left_out(taught: Sequence[Points], names: Sequence[str], what: str) -> Table:
    """For each name left out of teaching: how well its attack points stand out of benign ones."""
    x, y, kinds, sets = _matrix(taught)
    table = Table(title=f"Leaving out one {what} at a time: points of attacks that were not taught")
    columns = (f"{what} left out", "attack points", "above 99% of benign", "above 99.9%", "right family")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    benign = y == 0
    for name in names:
        out = np.array([name in pair for pair in zip(kinds, sets, strict=True)], dtype=np.bool_)
        recogniser = lay_out(_fit(x[~out], y[~out]), {})
        shown, honest = out & ~benign, (out & benign) if what == "data set" else benign
        against = recogniser.score(x[honest])
        scores = recogniser.score(x[shown])
        family = recogniser.raw(x[shown])[:, 1:].argmax(axis=1) + 1
        table.add_row(
            name,
            f"{int(shown.sum()):,}",
            *(f"{(scores > np.quantile(against, level)).mean():.0%}" for level in (0.99, 0.999)),
            f"{(family == y[shown]).mean():.0%}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
