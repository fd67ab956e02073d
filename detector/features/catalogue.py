"""Every feature: name, suspicious side, meaning, range, cost and source. The order is the column order.

All are exponentially forgetting means over a memory of about 16 queries of one session (plain means until
16 queries have been seen), so that an attack which starts late is not diluted. Distances are in units of
the typical distance between two benign inputs of the model. "Step" is the change of the input from one
query to the next; exact repeats of one of the last 16 inputs make no step. d is the
input length. Cost is per query.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Feature(NamedTuple):
    """One column of the feature matrix. `side`: +1 high is suspicious, -1 low, 0 both.

    Features of one `family` move together: what makes one of them odd makes the others odd.
    """

    name: str
    family: str
    side: int
    low: float
    high: float
    cost: str
    source: str
    meaning: str


_INF = float("inf")
_GWAD = "delta similarity, Park et al., CVPR 2025"
_FREDRIKSON = "Fredrikson et al., CCS 2015"

# fmt: off
CATALOGUE: tuple[Feature, ...] = (
    # Input similarity drift
    Feature("step_length", "closeness", -1, -21, _INF, "O(d)", "PRADA, EuroS&P 2019",
            "log distance to the previous query"),
    Feature("nearest_distance", "closeness", 0, -21, _INF, "O(16 min(d, 32))", "Stateful Detection 2020",
            "log distance to the nearest of the last 16 queries"),
    Feature("centroid_distance", "closeness", 0, -21, _INF, "O(min(d, 32))", "SENTRY",
            "log distance to the session's moving centroid"),
    Feature("distance_trend", "closeness", -1, -_INF, _INF, "O(1)", "PRADA, EuroS&P 2019",
            "recent minus longer-term log nearest distance; negative: closing in"),
    Feature("near_duplicates", "closeness", 1, 0, 1, "O(1)", "PrivMon, RAID 2023",
            "share of queries within a quarter of the typical distance of a recent, different one"),
    Feature("exact_duplicates", "closeness", 1, 0, 1, "O(d)", "RLB-MI, CVPR 2023",
            "share of queries equal to one of the last 16 inputs"),
    Feature("off_grid", "strangeness", 1, 0, 1, "O(d)", "ours",
            "share of columns with a value that benign ones lack: out of range, off their list or lattice"),
    Feature("off_manifold", "strangeness", 1, -21, _INF, "O(8 d)", "PCA residual; FlowGuard 2026",
            "log distance to the subspace in which benign inputs vary"),
    Feature("centre_changes", "closeness", 1, 0, 1, "O(1)", "label-only membership inference, ICML 2021",
            "share of the last 64 steps that leave a run of near queries for a far input"),
    Feature("rare_values", "strangeness", 1, 0, _INF, "O(64)", "ours",
            "mean -ln of the share of benign inputs in the bin that a column's value falls into"),
    Feature("rare_pairs", "strangeness", 1, 0, _INF, "O(128)", "Chow & Liu, IEEE Trans. Inf. Theory 1968",
            "mean nats by which pairs of columns' bins are rarer than if the columns were independent"),
    # Gradient-like search patterns
    Feature("step_sparsity", "search", -1, -18, 0, "O(d)", "ZOO, AISec 2017",
            "log2 of the share of columns that a step changes"),
    Feature("one_column_steps", "search", 1, 0, 1, "O(d)", _FREDRIKSON,
            "share of steps that change exactly one column"),
    Feature("step_evenness", "search", 0, 0, 1, "O(d)", "JBDA, AsiaCCS 2017; Square, ECCV 2020",
            "squared mean over mean square of the changed columns' changes: 1 all alike, noise 0.64"),
    Feature("step_cosine", "search", -1, -1, 1, "O(d)", _GWAD,
            "cosine between successive steps"),
    Feature("cosine_atoms", "search", 1, 0, 1, "O(1)", _GWAD,
            "share of cosines within 0.03 of -0.5 (noise round a centre) or -0.707 (antithetic pairs)"),
    Feature("collinear_steps", "search", 1, 0, 1, "O(1)", _GWAD,
            "share of steps back along the line of the step before, or on along it by another length"),
    Feature("step_irregularity", "search", -1, 0, _INF, "O(1)", "ours",
            "standard deviation of the log step length"),
    Feature("radius_irregularity", "search", -1, 0, _INF, "O(1)", "BREP-MI, CVPR 2022",
            "standard deviation of the log distance to the centroid; low: sphere sampling"),
    Feature("returns", "search", 1, 0, 1, "O(16 min(d, 32))", "HopSkipJump, S&P 2020",
            "share of steps that end nearer to an older query than to the previous one, by half"),
    Feature("halving_steps", "search", 1, 0, 1, "O(1)", "binary search in HopSkipJump, S&P 2020",
            "share of steps whose length is half, equal or double that of the step before, within 1.5%"),
    # Confidence sweeps
    Feature("confidence_trend", "answers", 1, -1, 1, "O(min(k, 16))", "Mann-Kendall; " + _FREDRIKSON,
            "strongest steady rise of one class's probability: mean sign of its changes"),
    Feature("record_highs", "answers", 1, 0, 1, "O(min(k, 16))", "SMILE, CVPR 2025",
            "largest share, over classes, of queries that set a new record for the class"),
    Feature("confidence_drift", "answers", 1, -1, 1, "O(min(k, 16))", _FREDRIKSON,
            "largest rise of one class's mean probability over 16 queries against its mean over 64"),
    Feature("confidence_coverage", "answers", 0, 0, 1, "O(16)", "confidence sweep",
            "entropy of the confidences visited, over 16 bins, as a share of its maximum"),
    Feature("log_margin", "boundary", 0, -7, 0.1, "O(k)", "HopSkipJump, S&P 2020",
            "log of the margin between the two top classes"),
    Feature("label_monopoly", "answers", 0, 0.0625, 1, "O(16)", _FREDRIKSON,
            "sum of squared label shares: 1 one label only, 1/16 evenly many"),
    Feature("label_flips", "boundary", 0, 0, 1, "O(1)", "ours",
            "share of queries with another label than the previous one"),
    Feature("close_flips", "boundary", 1, 0, 1, "O(1)", "boundary attack, ICLR 2018",
            "share of queries whose label flips within half the typical distance"),
    Feature("confidence_step", "answers", -1, -14, 0, "O(1)", "NES, ICML 2018",
            "log change of the confidence from one query to the next"),
    Feature("log_doubt", "answers", 0, -14, 0, "O(1)", "membership inference, S&P 2017",
            "log of one minus the confidence"),
    Feature("answer_following", "answers", 1, -1, 1, "O(1)", "ours",
            "mean of sign(last change of confidence) x cosine of the next step: going on where it was good"),
)
# fmt: on

NAMES: tuple[str, ...] = tuple(feature.name for feature in CATALOGUE)
INDEX: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
_FAMILIES = ("closeness", "strangeness", "search", "answers", "boundary")
FAMILIES = np.array([_FAMILIES.index(feature.family) for feature in CATALOGUE], dtype=np.int64)
SIDES = np.array([feature.side for feature in CATALOGUE], dtype=np.int64)
