"""A picture an attack: confidence and distance along its session, and where the alert came."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.detection.looks import Look

SIZE, DPI = (4.2, 2.7), 100
BLUE, GREY, RED = "#1f5a8a", "#666666", "#b3261e"


def draw(looks: Sequence[Look], folder: Path) -> list[Path]:
    """Writes a PNG a look, called after the attack, and `attacks.md` with a line for each."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attacks.md").write_text(listing(looks), encoding="utf-8")
    return [_draw(look, folder / f"{look.kind}.png") for look in looks]


def listing(looks: Sequence[Look]) -> str:
    """A Markdown table: when each attack was found, and what its alert rests on."""
    rows = [
        "| attack | model | alert at query | named | features, by contribution |",
        "|---|---|---|---|---|",
    ]
    for look in sorted(looks, key=lambda look: (look.family, look.kind)):
        at = "missed" if look.alert is None else f"{look.alert + 1} of {len(look.confidence)}"
        features = ", ".join(look.features)
        rows.append(
            f"| {look.family}: {look.kind} | {look.model_id} | {at} | {look.technique} | {features} |"
        )
    return "\n".join(rows) + "\n"


def _draw(look: Look, path: Path) -> Path:
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    query = np.arange(1, len(look.confidence) + 1)
    upper.plot(query, look.confidence, ".", color=BLUE, markersize=2.5)
    upper.set_ylim(-0.03, 1.03)
    upper.set_ylabel("confidence", fontsize=7)
    distance = np.array([np.nan if d is None else d for d in look.distance])
    lower.plot(query, distance, ".", color=GREY, markersize=2.5)
    if np.isfinite(distance).any():
        lower.set_yscale("log")
    lower.set_ylabel("distance to\nnearest recent", fontsize=7)
    lower.set_xlabel("query", fontsize=7)
    told = "missed"
    if look.alert is not None:
        told = f"alert at query {look.alert + 1}"
        for axes in (upper, lower):
            axes.axvline(look.alert + 1, color=RED, linewidth=1.0)
    upper.set_title(f"{look.kind} on {look.model_id}: {told}", fontsize=8)
    for axes in (upper, lower):
        axes.tick_params(which="both", labelsize=6)
    # Without the library's version in it, the same look gives the same bytes.
    figure.savefig(path, metadata={"Software": None})
    return path
