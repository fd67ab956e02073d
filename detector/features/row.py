"""One row of the feature matrix from a session's running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from detector.features import layout as at
from detector.features.catalogue import INDEX
from detector.features.confidence import concentration, entropy, largest, largest_rise
from detector.features.forget import deviation
from models.compiled import inlined, part

STEP_LENGTH = INDEX["step_length"]
NEAREST_DISTANCE = INDEX["nearest_distance"]
CENTROID_DISTANCE = INDEX["centroid_distance"]
DISTANCE_TREND = INDEX["distance_trend"]
NEAR_DUPLICATES = INDEX["near_duplicates"]
EXACT_DUPLICATES = INDEX["exact_duplicates"]
OFF_GRID = INDEX["off_grid"]
OFF_MANIFOLD = INDEX["off_manifold"]
STEP_EVENNESS = INDEX["step_evenness"]
STEP_SPARSITY = INDEX["step_sparsity"]
ONE_COLUMN_STEPS = INDEX["one_column_steps"]
STEP_COSINE = INDEX["step_cosine"]
COSINE_ATOMS = INDEX["cosine_atoms"]
COLLINEAR_STEPS = INDEX["collinear_steps"]
STEP_IRREGULARITY = INDEX["step_irregularity"]
RADIUS_IRREGULARITY = INDEX["radius_irregularity"]
RETURNS = INDEX["returns"]
HALVING_STEPS = INDEX["halving_steps"]
CONFIDENCE_TREND = INDEX["confidence_trend"]
RECORD_HIGHS = INDEX["record_highs"]
CONFIDENCE_COVERAGE = INDEX["confidence_coverage"]
LOG_MARGIN = INDEX["log_margin"]
LABEL_MONOPOLY = INDEX["label_monopoly"]
LABEL_FLIPS = INDEX["label_flips"]
CLOSE_FLIPS = INDEX["close_flips"]
CONFIDENCE_STEP = INDEX["confidence_step"]
LOG_DOUBT = INDEX["log_doubt"]
ANSWER_FOLLOWING = INDEX["answer_following"]
CONFIDENCE_DRIFT = INDEX["confidence_drift"]
CENTRE_CHANGES = INDEX["centre_changes"]
RARE_VALUES = INDEX["rare_values"]
RARE_PAIRS = INDEX["rare_pairs"]


@inlined
def write_features(row: Any, answers: Any, shares: Any, inputs: Any, out: Any) -> None:
    """One row in the order of the catalogue; NaN where the log gives nothing to compute it from."""
    out[:] = np.nan
    if row[at.STEPS] > 0.0:
        out[NEAR_DUPLICATES] = row[at.NEAR]
        out[STEP_LENGTH] = row[at.LOG_STEP]
        out[NEAREST_DISTANCE] = row[at.LOG_NEAREST]
        out[DISTANCE_TREND] = row[at.LOG_NEAREST] - row[at.LOG_NEAREST_SLOW]
        out[CENTRE_CHANGES] = row[at.CENTRES]
        out[STEP_EVENNESS] = row[at.EVENNESS]
        out[STEP_SPARSITY] = row[at.SPARSITY]
        out[ONE_COLUMN_STEPS] = row[at.ONE_COLUMN]
        out[RETURNS] = row[at.RETURNS]
    if row[at.STEPS] > 2.0:
        out[STEP_IRREGULARITY] = deviation(row, at.STEP_VARIANCE)
    if row[at.RADII] > 2.0 and row[at.STEPS] > 0.0:
        out[CENTROID_DISTANCE] = row[at.LOG_RADIUS]
        out[RADIUS_IRREGULARITY] = deviation(row, at.RADIUS_VARIANCE)
    out[EXACT_DUPLICATES] = row[at.EXACT]
    out[OFF_GRID] = row[at.OFF_GRID]
    out[OFF_MANIFOLD] = row[at.OFF_MANIFOLD]
    if inputs.asked.shape[0] > 0:
        out[RARE_VALUES] = row[at.RARE_VALUES]
    if inputs.pairs.shape[0] > 0:
        out[RARE_PAIRS] = row[at.RARE_PAIRS]
    if row[at.COSINES] > 0.0:
        out[STEP_COSINE] = row[at.COSINE]
        out[COSINE_ATOMS] = row[at.ATOMS]
        out[COLLINEAR_STEPS] = row[at.COLLINEAR]
        out[HALVING_STEPS] = row[at.HALVING]
    if row[at.ANSWERS] > 1.0:
        out[CONFIDENCE_TREND] = largest(part(shares, at.P_TREND))
        out[RECORD_HIGHS] = largest(part(shares, at.P_RECORD))
        out[CONFIDENCE_DRIFT] = largest_rise(part(answers, at.P_RECENT), part(answers, at.P_LONGER))
        out[CONFIDENCE_COVERAGE] = entropy(part(shares, at.CONFIDENCE_SHARE))
        out[CONFIDENCE_STEP] = row[at.CONFIDENCE_STEP]
        out[LOG_DOUBT] = row[at.DOUBT]
    if row[at.MARGINS] > 0.0:
        out[LOG_MARGIN] = row[at.MARGIN]
    if row[at.LABELS] > 1.0:
        out[LABEL_MONOPOLY] = concentration(part(shares, at.LABEL_SHARE))
        out[LABEL_FLIPS] = row[at.FLIPS]
        out[CLOSE_FLIPS] = row[at.CLOSE_FLIPS]
    if row[at.FOLLOWINGS] > 0.0:
        out[ANSWER_FOLLOWING] = row[at.FOLLOWING]
