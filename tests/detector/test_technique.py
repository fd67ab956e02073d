"""Naming the technique: clear cases of each, and "model probing" for the rest."""

from __future__ import annotations

import numpy as np
import pytest

from detector.features.catalogue import INDEX, NAMES
from detector.technique import EVASION, EXTRACTION, INVERSION, MEMBERSHIP, PROBING, Technique, name_technique

CLEAR: list[tuple[Technique, dict[str, float], dict[str, float]]] = [
    (
        INVERSION,
        {"step_sparsity": 6.0, "one_column_steps": 6.0, "confidence_trend": 6.0, "off_manifold": 8.0},
        {"near_duplicates": 1.0, "confidence_drift": 0.3},
    ),
    (EVASION, {"close_flips": 6.0, "log_margin": 4.0}, {"near_duplicates": 1.0}),
    (
        MEMBERSHIP,
        {"close_flips": 6.0, "log_margin": 4.0},
        {"near_duplicates": 0.8, "centre_changes": 0.3},
    ),
    (EXTRACTION, {"off_manifold": 8.0, "off_grid": 6.0, "nearest_distance": 6.0}, {"near_duplicates": 0.0}),
    (PROBING, {"label_flips": 3.0}, {"near_duplicates": 0.5}),
    (PROBING, {}, {"near_duplicates": 0.0}),
]


def row(named: dict[str, float], other: float) -> np.ndarray:
    out = np.full(len(NAMES), other)
    for name, value in named.items():
        out[INDEX[name]] = value
    return out


@pytest.mark.parametrize(("technique", "surprises", "values"), CLEAR, ids=lambda v: getattr(v, "key", ""))
@pytest.mark.parametrize("unknown", [0.0, float("nan")])
def test_clear_cases(
    technique: Technique, surprises: dict[str, float], values: dict[str, float], unknown: float
) -> None:
    named, confidence, _ = name_technique(row(surprises, unknown), row(values, unknown), {})
    assert named is technique
    assert 0.5 < confidence <= 1.0


def test_nothing_known_is_probing() -> None:
    nothing = np.full(len(NAMES), np.nan)
    named, confidence, _ = name_technique(nothing, nothing, {})
    assert named is PROBING
    assert 0.0 < confidence <= 1.0


def test_the_recogniser_outweighs_the_rules_which_tip_the_balance() -> None:
    surprises = row({"close_flips": 6.0, "log_margin": 4.0}, 0.0)
    values = row({"near_duplicates": 0.8}, 0.0)
    families = dict.fromkeys(("inversion", "membership_inference", "extraction", "evasion"), 0.0)
    assert name_technique(surprises, values, {**families, "evasion": 1.0})[0] is EVASION
    against = name_technique(surprises, values, {**families, "membership_inference": 1.0})
    assert against[0] is MEMBERSHIP and against[1] == pytest.approx(0.9, abs=0.01)
    even = name_technique(surprises, values, {**families, "membership_inference": 0.5, "evasion": 0.5})
    assert even[0] is EVASION
    unclear = row({}, 0.0)
    assert name_technique(unclear, unclear, {**families, "inversion": 1.0})[0] is INVERSION
    assert name_technique(unclear, unclear, dict.fromkeys(families, 0.25))[0] is PROBING


def test_what_may_be_meant_as_well_is_named_beside_it() -> None:
    unclear = row({}, 0.0)
    shares = {"inversion": 0.55, "membership_inference": 0.0, "extraction": 0.44, "evasion": 0.01}
    named = name_technique(unclear, unclear, shares)
    assert named.technique is INVERSION
    assert [other for other, _ in named.others] == [EXTRACTION]
    assert named.others[0][1] == pytest.approx(0.9 * 0.44, abs=0.02)
    clear = name_technique(unclear, unclear, shares | {"inversion": 0.9, "extraction": 0.09})
    assert clear.others == ()
    probing = name_technique(unclear, unclear, shares | {"inversion": 0.35, "extraction": 0.4})
    assert probing.technique is PROBING
    assert [other for other, _ in probing.others] == [EXTRACTION, INVERSION]
