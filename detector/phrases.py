"""What each feature's oddity means, in words for the person who reads an alert at 3 a.m."""

from __future__ import annotations

_PHRASES: dict[str, tuple[str, str]] = {
    # feature: (when low, when high)
    "step_length": ("each query barely differs from the last", "each query differs widely from the last"),
    "nearest_distance": ("queries crowd round earlier ones", "queries roam far from all earlier ones"),
    "centroid_distance": ("queries crowd round one centre", "queries lie far from any centre"),
    "distance_trend": ("queries close in on each other", "queries spread out"),
    "near_duplicates": ("few near-duplicates", "near-duplicate inputs pile up"),
    "exact_duplicates": ("few repeats", "inputs are repeated exactly"),
    "off_grid": ("", "columns take values that no benign query had"),
    "off_manifold": ("", "inputs are unlike any benign input"),
    "rare_values": ("", "columns take values that few benign queries have"),
    "rare_pairs": ("", "columns take values that hardly ever go together"),
    "centre_changes": ("", "one input after another is searched round"),
    "step_sparsity": ("only a few columns change per query", "all columns change at once"),
    "one_column_steps": ("", "one column is changed at a time"),
    "step_evenness": (
        "changed columns change by very different amounts",
        "all changed columns change by the same amount",
    ),
    "step_cosine": ("steps turn back on each other", "steps go straight on"),
    "cosine_atoms": ("", "steps meet at the angles of random probing round a point"),
    "collinear_steps": ("", "queries go to and fro along a line"),
    "step_irregularity": ("steps are all equally long", "steps vary in length"),
    "radius_irregularity": ("queries lie on a sphere round one point", "queries lie at varied distances"),
    "returns": ("", "queries keep coming back to earlier inputs"),
    "halving_steps": ("", "steps halve as in a binary search"),
    "confidence_trend": ("", "one class's probability is driven up query by query"),
    "record_highs": ("", "one class sets record after record"),
    "confidence_drift": ("", "one class's probability is rising"),
    "confidence_coverage": ("confidences hardly vary", "confidences sweep the whole range"),
    "log_margin": ("answers hug the decision boundary", "answers are far from the boundary"),
    "label_monopoly": ("all labels are visited evenly", "one label has a monopoly"),
    "label_flips": ("the label hardly changes", "the label flips from query to query"),
    "close_flips": ("", "labels flip between nearly equal inputs"),
    "confidence_step": ("confidences change in tiny steps", "confidences jump"),
    "log_doubt": ("answers are unusually certain", "answers are unusually uncertain"),
    "answer_following": ("", "queries go on in the direction of the better answer"),
}


def phrase(name: str, value: float, normal_median: float) -> str:
    """What it means that feature `name` has this value where benign sessions have their median."""
    low, high = _PHRASES[name]
    return low if low and value < normal_median else high
