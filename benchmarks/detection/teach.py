"""`python -m benchmarks.detection.teach`: teach recogniser and prior, and try them on what is new to them.

Deployments over many data sets and models are made, with every attack against each of them, in several
forms (diluted, short, confidences or labels only). Each evaluation point enters as signed surprises in
its own deployment's profile; to name the attack also as it is, and on average since the session began.
The one that is shipped is taught on all, by what came after the histories: these are judged by profiles which
know their like (the same clients, the same week), and who learns from them what honest traffic is takes
tomorrow's for attacks. Then tables are printed of recognisers that were taught without
one data set, and without one attack. The prior, which judges where there is no profile, is taught on the
same logs, as they look without one.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.detection.collect import Points, collect
from benchmarks.detection.left_out import Outcome, by_attack, by_data_set, first_alerts
from benchmarks.detection.lessons import Lessons, teach
from benchmarks.detection.teach_prior import teach_prior
from benchmarks.detection.unlearned import Unlearned, collect_unlearned
from benchmarks.detection.workload import NATURAL
from benchmarks.traces import Variant, make
from benchmarks.traces.attacks import ATTACKS, UNSEEN, WORDED
from benchmarks.traces.wording.corpora import CORPORA
from detector.prior import SHIPPED as PRIOR
from models.recogniser import SHIPPED, SHIPPED_FOR_TEXTS, Recogniser

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
    "flares",
    "survey",
)
FEWER = 4
"""Of so many points one teaches the recognisers that are only tried: points of one session are much alike."""


class Curriculum(NamedTuple):
    """What a recogniser is taught on: models over these data sets, these attacks, `repeats` of each kind in a
    deployment, so many benign sessions of its history and trace, over all its models, and the deployments
    by number with their forms (see `benchmarks.traces.make`). `output` is where it is shipped."""

    data_sets: tuple[str, ...]
    attacks: tuple[str, ...]
    repeats: int
    history: int
    trace: int
    forms: dict[int, dict[str, Any]]
    output: Path


DEPLOYMENTS: dict[int, dict[str, Any]] = {
    0: {},
    2: {"variant": Variant(dilution=0.5)},
    3: {"queries": (60, 250)},
    4: {"outputs": "confidence"},
    5: {"outputs": "label", "variant": Variant(dilution=0.25)},
    8: {"varied": True},
    9: {"varied": True, "rescale": True},
    10: {"varied": True, "variant": Variant(dilution=0.5)},
    11: {"varied": True, "queries": (60, 250)},
}
"""More of them add nothing (docs/detection.md)."""
OF_TEXTS: dict[int, dict[str, Any]] = {
    12: {"varied": True},
    13: {"varied": True, "variant": Variant(dilution=0.5)},
    14: {"varied": True, "queries": (60, 250)},
    15: {"varied": True, "outputs": "confidence"},
    16: {"varied": True, "outputs": "label"},
    17: {"varied": True},
    18: {"varied": True, "outputs": "label", "queries": (60, 250)},
}
NUMBERS = Curriculum(DATA_SETS, tuple(ATTACKS), 10, 6000, 2500, DEPLOYMENTS, SHIPPED)
TEXTS = Curriculum(tuple(CORPORA), tuple(WORDED), 6, 2400, 1400, OF_TEXTS, SHIPPED_FOR_TEXTS)


def main(
    seed: Annotated[int, typer.Option(help="Seed of deployment 0; that of another is as much higher.")] = 700,
    number_of: Annotated[
        int | None, typer.Option("--deployments", help="Deployments to make; default: all.", min=1)
    ] = None,
    texts: Annotated[
        bool,
        typer.Option("--texts", help="Teach the recogniser for models of texts; there is no such prior."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Where the recogniser goes; default: where it is shipped.")
    ] = None,
    prior: Annotated[Path, typer.Option(help="Where the prior goes.")] = PRIOR,
    only_recogniser: Annotated[
        bool,
        typer.Option("--only-recogniser", help="Leave the prior as it is; recordings may lack its part."),
    ] = False,
    validate: Annotated[bool, typer.Option(help="Print the tables of what was left out.")] = True,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Keep evaluation points here, and go on from them; empty it when features change."),
    ] = None,
) -> None:
    """Make deployments, teach on all of them, write; then print what was left out in turn."""
    progress, console = Console(stderr=True), Console(width=110)
    started = time.monotonic()
    deployments: list[Recorded] = []
    taught = TEXTS if texts else NUMBERS
    output, only_recogniser = output or taught.output, only_recogniser or texts
    forms = dict(list(taught.forms.items())[:number_of])
    for number, form in forms.items():
        # Models and attacks take turns, so another order gives other pairs of them.
        turned = taught._replace(data_sets=tuple(np.roll(taught.data_sets, number).tolist()))
        deployments += _recorded(recordings, seed + number, turned, form, whole=not only_recogniser)
        progress.print(f"[{time.monotonic() - started:5.0f} s] seed {seed + number}: {form or 'plain'}")
    provenance = {
        "made_by": "python -m benchmarks.detection.teach",
        "seeds": [seed + number for number in forms],
        "data_sets": taught.data_sets,
        "attacks": [attack for attack in taught.attacks if attack not in UNSEEN],
        "forms": [json.dumps(form, sort_keys=True, default=Variant.settings) for form in forms.values()],
        "sessions": [taught.history, taught.trace],
        "repeats": taught.repeats,
        "natural": NATURAL,
        "scikit-learn": version("scikit-learn"),
    }
    points = [one.now for one in deployments]
    lessons = Lessons.of(points)
    teach(lessons, provenance | counted(points)).save(output)
    progress.print(f"[{time.monotonic() - started:5.0f} s] {output}: {output.stat().st_size:,} bytes")
    if not only_recogniser:
        unlearned = [one.unlearned for one in deployments if one.unlearned is not None]
        own = counted([part for one in unlearned for part in (one.past, one.now)])
        before, tried = teach_prior(unlearned, provenance | own, FEWER)
        before.save(prior)
        progress.print(f"[{time.monotonic() - started:5.0f} s] {prior}: {prior.stat().st_size:,} bytes")
        title = "The prior, made without that data set"
        console.print(by_data_set([(name, one, None) for name, one in tried], title))
    if validate:
        fewer = lessons.every(FEWER)
        outcomes, without = [], {}
        for name in taught.data_sets:
            recogniser, full, alone = teach(fewer.where(fewer.sets != name), {}), Outcome(), Outcome()
            without[name] = recogniser
            for past, now, _ in deployments:
                if past.data_set == name:
                    full.add(now, first_alerts(past, now, recogniser))
                    alone.add(now, first_alerts(past, now, None))
            outcomes.append((name, full, alone))
        console.print(by_data_set(outcomes, "The whole decision, by a recogniser without that data set"))
        console.print(by_attack(outcomes))
        console.print(_left_out(fewer, without, "data set"))
        without = {a: teach(fewer.where(fewer.kinds != a), {}) for a in taught.attacks if a not in UNSEEN}
        console.print(_left_out(fewer, without, "attack"))


def counted(points: Sequence[Points]) -> dict[str, int]:
    """How many evaluation points these are, for the provenance."""
    return {"evaluation_points": sum(len(part.family) for part in points)}


class Recorded(NamedTuple):
    """One model of one deployment: points of history and trace by its profile, and without one."""

    past: Points
    now: Points
    unlearned: Unlearned | None

    def save(self, stem: str) -> None:
        """Write files whose names begin with `stem`."""
        self.past.save(Path(f"{stem}.history.npz"))
        self.now.save(Path(f"{stem}.trace.npz"))
        if self.unlearned is not None:
            self.unlearned.save(Path(f"{stem}.unlearned.npz"))

    @classmethod
    def load(cls, stem: str) -> Recorded:
        """Read what `save` wrote."""
        past, now = (Points.load(Path(f"{stem}.{name}.npz")) for name in ("history", "trace"))
        third = Path(f"{stem}.unlearned.npz")
        return cls(past, now, Unlearned.load(third) if third.is_file() else None)


def _recorded(
    folder: Path | None, seed: int, taught: Curriculum, form: dict[str, Any], *, whole: bool
) -> list[Recorded]:
    """What each model of one deployment gave, read or made; `whole`: also without a profile."""
    stems = [str(folder / f"{seed}-{i}") for i in range(len(taught.data_sets))] if folder else []
    last = "unlearned" if whole else "trace"
    if stems and all(Path(f"{stem}.{last}.npz").is_file() for stem in stems):
        return [Recorded.load(stem) for stem in stems]
    with tempfile.TemporaryDirectory() as directory:
        truth = make(
            Path(directory),
            seed=seed,
            history_sessions=taught.history,
            benign_sessions=taught.trace,
            attacks=taught.attacks,
            models=taught.data_sets,
            natural=NATURAL,
            **{"repeats": taught.repeats, **form},
        )
        parts = (*collect(Path(directory), truth), collect_unlearned(Path(directory), truth))
        made = [Recorded(*one) for one in zip(*parts, strict=True)]
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for one, stem in zip(made, stems, strict=True):
            one.save(stem)
    return made


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
        against = recogniser.score(lessons.surprises[honest], lessons.so_far[honest])
        scores = recogniser.score(lessons.surprises[shown], lessons.so_far[shown])
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
