"""`python -m benchmarks.detection.teach`: teach the recogniser, and try it on what it was not taught.

Deployments over many data sets and models are made, with every attack against each of them, in several
forms (diluted, short, confidences or labels only). Each evaluation point enters as signed surprises in
its own deployment's profile; to name the attack also as it is, and on average since the session began.
The one that is shipped is taught on all. Then tables are printed of recognisers that were taught without
one data set, and without one attack.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.detection.collect import Points, collect
from benchmarks.detection.left_out import Outcome, by_attack, by_data_set, first_alerts
from benchmarks.traces import Variant, make
from benchmarks.traces.attacks import ATTACKS, UNSEEN
from detector.contamination import thinned
from detector.features.catalogue import NAMES
from detector.query import FloatArray, IntArray
from models.recogniser import SHIPPED, Recogniser, Stack, described

FAMILIES = ("inversion", "membership_inference", "extraction", "evasion")
DATA_SETS = (
    "digits",
    "cancer",
    "wine",
    "segments",
    "phishing",
    "photos",
    "synthetic",
    "textures",
    "embeddings",
    "census",
    "gauges",
    "text",
)
TREES, LEAVES = 100, 12
TEACHES = 96
"""Evaluation points of one session that teach at most, evenly spread over it: very long ones know no more."""
FEWER = 4
"""Of so many points one teaches the recognisers that are only tried: points of one session are much alike."""
IMPOSSIBLE = -30.0
HISTORY, TRACE, REPEATS = 5200, 2200, 8
"""Benign sessions of a deployment, and attacks of each kind, over all its models."""
FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"rescale": True},
    {"variant": Variant(dilution=0.5)},
    {"queries": (60, 250)},
    {"outputs": "confidence"},
    {"outputs": "label", "variant": Variant(dilution=0.25)},
    {"variant": Variant(dilution=0.75), "rescale": True},
    {"variant": Variant(jitter=0.02), "outputs": "rounded", "repeats": REPEATS // 2},
)


def main(
    seed: Annotated[int, typer.Option(help="First seed; each deployment takes the next one.")] = 700,
    rounds: Annotated[int, typer.Option(help="Deployments of each form.", min=1)] = 1,
    output: Annotated[Path, typer.Option(help="Where the recogniser goes.")] = SHIPPED,
    validate: Annotated[bool, typer.Option(help="Print the tables of what was left out.")] = True,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Keep evaluation points here, and go on from them; empty it when features change."),
    ] = None,
) -> None:
    """Make deployments, teach on all of them, write; then print what was left out in turn."""
    progress, console = Console(stderr=True), Console(width=110)
    started = time.monotonic()
    deployments: list[tuple[Points, Points]] = []
    for number in range(rounds * len(FORMS)):
        form = FORMS[number % len(FORMS)]
        # Models and attacks take turns, so another order gives other pairs of them.
        order = tuple(np.roll(DATA_SETS, number).tolist())
        deployments += _recorded(recordings, seed + number, order, form)
        progress.print(f"[{time.monotonic() - started:5.0f} s] seed {seed + number}: {form or 'plain'}")
    provenance = {
        "made_by": "python -m benchmarks.detection.teach",
        "seeds": [seed, seed + rounds * len(FORMS) - 1],
        "data_sets": DATA_SETS,
        "attacks": [attack for attack in ATTACKS if attack not in UNSEEN],
        "forms": [json.dumps(form, sort_keys=True, default=Variant.settings) for form in FORMS],
        "sessions": [HISTORY, TRACE],
        "repeats": REPEATS,
        "evaluation_points": int(sum(len(points.family) for pair in deployments for points in pair)),
        "scikit-learn": version("scikit-learn"),
    }
    lessons = Lessons.of([points for pair in deployments for points in pair])
    teach(lessons, provenance).save(output)
    progress.print(f"[{time.monotonic() - started:5.0f} s] {output}: {output.stat().st_size:,} bytes")
    if validate:
        fewer = lessons.where(np.arange(len(lessons.y)) % FEWER == 0)
        outcomes, without = [], {}
        for name in DATA_SETS:
            recogniser, full, alone = teach(fewer.where(fewer.sets != name), {}), Outcome(), Outcome()
            without[name] = recogniser
            for past, now in deployments:
                if past.data_set == name:
                    full.add(now, first_alerts(past, now, recogniser))
                    alone.add(now, first_alerts(past, now, None))
            outcomes.append((name, full, alone))
        console.print(by_data_set(outcomes))
        console.print(by_attack(outcomes))
        console.print(_left_out(fewer, without, "data set"))
        without = {a: teach(fewer.where(fewer.kinds != a), {}) for a in ATTACKS if a not in UNSEEN}
        console.print(_left_out(fewer, without, "attack"))


def _recorded(
    folder: Path | None, seed: int, order: tuple[str, ...], form: dict[str, Any]
) -> list[tuple[Points, Points]]:
    """Points of history and trace of each model of one deployment, read or made."""
    names = [folder / f"{seed}-{i}" for i in range(len(order))] if folder else []
    files = [(name.with_suffix(".history.npz"), name.with_suffix(".trace.npz")) for name in names]
    if files and all(path.is_file() for pair in files for path in pair):
        return [(Points.load(past), Points.load(now)) for past, now in files]
    with tempfile.TemporaryDirectory() as directory:
        truth = make(
            Path(directory),
            seed=seed,
            history_sessions=HISTORY,
            benign_sessions=TRACE,
            attacks=tuple(ATTACKS),
            models=order,
            **{"repeats": REPEATS, **form},
        )
        made = list(zip(*collect(Path(directory), truth), strict=True))
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for pair, paths in zip(made, files, strict=True):
            for points, path in zip(pair, paths, strict=True):
                points.save(path)
    return made


@dataclass(frozen=True)
class Lessons:
    """Points that may teach: `described` x [n, 3 f], class y [n] (0 benign, else 1 + number of the family),
    attack kind and data set [n]."""

    x: FloatArray
    y: IntArray
    kinds: NDArray[np.str_]
    sets: NDArray[np.str_]

    @classmethod
    def of(cls, taught: Sequence[Points]) -> Lessons:
        """At most TEACHES points of each session of some deployments but those of `UNSEEN` attacks: who
        teaches that ordinary queries are an attack teaches that honest clients are one."""
        some = [(points, thinned(points.sessions, TEACHES)) for points in taught]
        kinds = np.concatenate([np.array(points.kind)[few] for points, few in some])
        families = np.concatenate([np.array(points.family)[few] for points, few in some])
        sets = np.concatenate([np.repeat(points.data_set, few.sum()) for points, few in some])
        x = np.vstack(
            [described(points.surprises, points.features, points.means())[few] for points, few in some]
        )
        x = np.nan_to_num(x)
        y = np.zeros(len(x), dtype=np.int64)
        for number, family in enumerate(FAMILIES, start=1):
            y[families == family] = number
        keep = ~np.isin(kinds, UNSEEN)
        return cls(x[keep], y[keep], kinds[keep], sets[keep])

    @property
    def surprises(self) -> FloatArray:
        """Signed surprises alone [n, f]."""
        return self.x[:, : len(NAMES)]

    def where(self, keep: NDArray[np.bool_]) -> Lessons:
        """Some of the points."""
        return Lessons(self.x[keep], self.y[keep], self.kinds[keep], self.sets[keep])


def _boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        learning_rate=0.15,
        l2_regularization=5.0,
        min_samples_leaf=100,
        random_state=0,
    )


def teach(lessons: Lessons, provenance: dict[str, Any]) -> Recogniser:
    """Boosted trees over the lessons, laid out as arrays.

    Every attack family weighs as much as the others, and all together as much as benign traffic.
    """
    counts = np.bincount(lessons.y, minlength=1 + len(FAMILIES))
    share = counts[0] / len(FAMILIES) / np.maximum(counts, 1)
    share[0] = 1.0
    weight = share[lessons.y]
    attack = lessons.y > 0
    told_apart = _boosted().fit(lessons.surprises, attack, sample_weight=weight)
    named = _boosted().fit(lessons.x[attack], lessons.y[attack] - 1, sample_weight=weight[attack])
    return Recogniser(
        lay_out(told_apart, 1),
        lay_out(named, len(FAMILIES)),
        {"classes": FAMILIES, "features": NAMES, "provenance": provenance},
    )


def lay_out(boosted: HistGradientBoostingClassifier, groups: int) -> Stack:
    """scikit-learn's trees as padded arrays [groups, trees, nodes]."""
    stages = boosted._predictors
    shape = (groups, len(stages), max(len(tree.nodes) for stage in stages for tree in stage))
    feature = np.full(shape, -1, dtype=np.int32)
    left, right = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    threshold, value = np.zeros(shape), np.zeros(shape)
    # Two classes share one group of trees. A class that was left out has no trees, and no chance.
    present = boosted.classes_.astype(np.int64) if groups > 1 else np.zeros(1, dtype=np.int64)
    baseline = np.full(groups, IMPOSSIBLE)
    baseline[present] = np.asarray(boosted._baseline_prediction, dtype=np.float64).ravel()
    for t, stage in enumerate(stages):
        for g, tree in zip(present, stage, strict=True):
            nodes, n = tree.nodes, len(tree.nodes)
            leaf = nodes["is_leaf"].astype(np.bool_)
            feature[g, t, :n] = np.where(leaf, -1, nodes["feature_idx"])
            left[g, t, :n], right[g, t, :n] = nodes["left"], nodes["right"]
            threshold[g, t, :n] = np.where(leaf, 0.0, nodes["num_threshold"])
            value[g, t, :n] = nodes["value"]
    return Stack(
        {
            "feature": feature,
            "threshold": threshold,
            "left": left,
            "right": right,
            "value": value,
            "baseline": baseline,
        }
    )


def _left_out(lessons: Lessons, without: Mapping[str, Recogniser], what: str) -> Table:
    """For each name, and the recogniser taught without it: how well its attack points stand out of benign
    ones."""
    table = Table(title=f"Leaving out one {what} at a time: points of attacks that were not taught")
    columns = (f"{what} left out", "attack points", "above 99% of benign", "above 99.9%", "right family")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    benign = lessons.y == 0
    for name, recogniser in without.items():
        out = (lessons.kinds == name) | (lessons.sets == name)
        shown, honest = out & ~benign, (out & benign) if what == "data set" else benign
        against = recogniser.score(lessons.surprises[honest])
        scores = recogniser.score(lessons.surprises[shown])
        family = recogniser.families(lessons.x[shown]).argmax(axis=1) + 1
        table.add_row(
            name,
            f"{int(shown.sum()):,}",
            *(f"{(scores > np.quantile(against, level)).mean():.0%}" for level in (0.99, 0.999)),
            f"{(family == lessons.y[shown]).mean():.0%}",
        )
    return table


if __name__ == "__main__":
    typer.run(main)
