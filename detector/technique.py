"""Which attack technique the evidence speaks for, in MITRE ATLAS terms.

Each technique has the features that its published attacks drive out of the normal range, with the weight
of each; its case is the weighted mean of their surprises. Where no case is clearly the strongest, the
answer is "model probing", the parent technique.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.features.catalogue import INDEX, NAMES
from detector.query import FloatArray

ATLAS_VERSION = "5.6.1"


@dataclass(frozen=True, slots=True)
class Technique:
    """Names of one technique, here and in MITRE ATLAS. `subtechnique` may be empty."""

    key: str
    title: str
    tactic_id: str
    tactic: str
    technique_id: str
    technique: str
    subtechnique_id: str
    subtechnique: str
    owasp: str


_EXFILTRATION = ("AML.TA0010", "Exfiltration", "AML.T0024", "Exfiltration via AI Inference API")
INVERSION = Technique(
    "model_inversion", "Model inversion", *_EXFILTRATION, "AML.T0024.001", "Invert AI Model", "ML03:2023"
)
MEMBERSHIP = Technique(
    "membership_inference",
    "Membership inference",
    *_EXFILTRATION,
    "AML.T0024.000",
    "Infer Training Data Membership",
    "ML04:2023",
)
EXTRACTION = Technique(
    "model_extraction", "Model extraction", *_EXFILTRATION, "AML.T0024.002", "Extract AI Model", "ML05:2023"
)
EVASION = Technique(
    "evasion_search",
    "Evasion search",
    "AML.TA0001",
    "AI Attack Staging",
    "AML.T0043",
    "Craft Adversarial Data",
    "AML.T0043.001",
    "Black-Box Optimization",
    "ML01:2023",
)
PROBING = Technique("model_probing", "Model probing", *_EXFILTRATION, "", "", "")

ALL = (INVERSION, MEMBERSHIP, EXTRACTION, EVASION, PROBING)

_WEIGHTS: dict[str, dict[str, float]] = {
    INVERSION.key: {
        "confidence_trend": 1.0,
        "record_highs": 1.0,
        "answer_following": 0.5,
        "step_sparsity": 0.5,
        "one_column_steps": 0.5,
    },
    MEMBERSHIP.key: {
        "log_doubt": 0.5,
        "step_irregularity": 0.5,
        "exact_duplicates": 0.3,
    },
    EXTRACTION.key: {
        "off_manifold": 0.7,
        "off_grid": 0.7,
        "label_flips": 0.4,
        "centroid_distance": 0.4,
    },
    EVASION.key: {
        "close_flips": 1.0,
        "log_margin": 0.5,
        "cosine_atoms": 0.7,
        "returns": 0.7,
        "halving_steps": 0.5,
        "collinear_steps": 0.5,
    },
}
_MATRIX = np.array([[weights.get(name, 0.0) for name in NAMES] for weights in _WEIGHTS.values()])
_MATRIX /= _MATRIX.sum(axis=1, keepdims=True)
CLEAR = 0.30
"""Share of all cases that the strongest must have to be named."""


def name_technique(surprises: FloatArray, values: FloatArray) -> tuple[Technique, float]:
    """The technique that surprises [f] (NaN: unknown) and feature values [f] speak for; confidence in (0, 1].

    A search among near-duplicates is no extraction, and one far from every earlier query no evasion, so
    the share of near-duplicates moderates both cases.
    """
    known = np.where(np.isnan(surprises), 0.0, surprises)
    cases = _MATRIX @ known
    near = float(np.nan_to_num(values[INDEX["near_duplicates"]]))
    moderation = np.array([1.0, 1.0, 1.0 - near, 0.25 + 0.75 * near])
    cases = cases * moderation
    total = float(cases.sum())
    if total <= 0.0:
        return PROBING, 0.5
    best = int(np.argmax(cases))
    share = float(cases[best]) / total
    return (ALL[best], share) if share >= CLEAR else (PROBING, 1.0 - share)
