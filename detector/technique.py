"""Which attack technique the evidence speaks for, in MITRE ATLAS terms.

Two opinions are weighed: that of the recogniser, which has seen more, and that of a few rules over features
that carry no scale, which can be explained. Where neither speaks clearly, the answer is "model probing", the
parent technique.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detector.features.catalogue import INDEX
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


RULES = 0.1
"""Weight of the rules beside the recogniser. On data sets left out of teaching, the latter named 56% of all
points of attacks rightly and clearly, with this weight 54%, with half 35%."""
CLEAR = 0.4
"""Share that a technique must have to be named."""
ALSO = 0.25
"""Share from which another technique is named beside it: some cannot be told apart by any log."""
_BY_FAMILY = {
    "inversion": INVERSION,
    "membership_inference": MEMBERSHIP,
    "extraction": EXTRACTION,
    "evasion": EVASION,
}


class Named(NamedTuple):
    """A technique, its share of the opinions in (0, 1], and others that may be meant, likeliest first."""

    technique: Technique
    confidence: float
    others: tuple[tuple[Technique, float], ...] = ()


def name_technique(surprises: FloatArray, values: FloatArray, recognised: Mapping[str, float]) -> Named:
    """The technique that is spoken for.

    surprises [f], feature values [f] (NaN: unknown); `recognised` holds the recogniser's probability of each
    attack family, given that it is an attack; empty: there is no recogniser.
    """
    shares = geometry(surprises, values)
    if recognised:
        shares = {
            family: RULES * share + (1.0 - RULES) * recognised[family] for family, share in shares.items()
        }
    likeliest = sorted(shares, key=lambda family: -shares[family])
    told = tuple((_BY_FAMILY[family], shares[family]) for family in likeliest if shares[family] >= ALSO)
    most = shares[likeliest[0]]
    if most < CLEAR:
        return Named(PROBING, 1.0 - most, told)
    return Named(*told[0], told[1:])


def geometry(surprises: FloatArray, values: FloatArray) -> dict[str, float]:
    """The rules' opinion: a share for each attack family, together at most 1.

    Three ways of searching are told apart by geometry, then two aims within each by the answers:

    - on the boundary: near-duplicates whose labels flip or whose margins vanish. Evasion, or, when the
      search moves on to one unrelated record after another, membership inference.
    - along coordinates: near-duplicates that change few columns. Inversion when the inputs are unlike
      benign ones or one class's probability is driven up; else evasion, which starts from a real input.
    - far: inputs unlike benign ones and unlike each other. Inversion when one class's probability rises;
      else extraction.
    """

    def surprise(name: str) -> float:
        return float(np.nan_to_num(surprises[INDEX[name]]))

    def value(name: str) -> float:
        return float(np.nan_to_num(values[INDEX[name]]))

    near = value("near_duplicates")
    coordinates = _over(near, 0.5, 0.08) * _over(surprise("step_sparsity"), 2.5, 0.5)
    hugging = _over(surprise("close_flips") + surprise("log_margin"), 3.0, 1.0)
    boundary = _over(near, 0.1, 0.03) * hugging * (1.0 - coordinates)
    strange = max(map(surprise, ("off_manifold", "off_grid", "centroid_distance", "nearest_distance")))
    far = _over(-near, -0.08, 0.02) * _over(strange, 3.0, 0.7) * (1.0 - coordinates) * (1.0 - boundary)
    moving_on = _over(value("centre_changes"), 0.06, 0.015)
    rising = _over(value("confidence_drift"), 0.07, 0.015)
    unlike = _over(surprise("off_manifold"), 4.5, 0.7)
    driven = max(rising, unlike, _over(surprise("confidence_trend"), 2.5, 0.4))
    return {
        "inversion": coordinates * driven + far * rising,
        "membership_inference": boundary * moving_on,
        "extraction": far * (1.0 - rising),
        "evasion": boundary * (1.0 - moving_on) + coordinates * (1.0 - driven),
    }


def _over(value: float, middle: float, width: float) -> float:
    """How clearly a value lies over `middle`: 0.5 there, 0.73 one width above."""
    return float(1.0 / (1.0 + np.exp(-(value - middle) / width)))
