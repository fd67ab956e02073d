"""Every attack by name, with its family. Each runs against the model's predict interface and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.traces.attacks import evasion, extraction, inversion, membership
from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.recorder import BudgetSpent

__all__ = ["ATTACKS", "DEFAULT_ATTACKS", "Attack", "Attacker", "carry_out"]


@dataclass(frozen=True)
class Attack:
    """How an attack is run, the family it counts as, and the tool or paper it comes from."""

    family: str
    run: Callable[[Attacker], None]
    source: str


ATTACKS: dict[str, Attack] = {
    "hop_skip_jump": Attack("evasion", evasion.hop_skip_jump, "ART HopSkipJump (Chen et al. 2020)"),
    "zoo": Attack("evasion", evasion.zoo, "ART ZooAttack (Chen et al. 2017)"),
    "boundary": Attack("evasion", evasion.boundary, "ART BoundaryAttack (Brendel et al. 2018)"),
    "finite_difference_inversion": Attack(
        "inversion", inversion.finite_differences, "own driver of MIFace (Fredrikson et al. 2015), black box"
    ),
    "cma_es_inversion": Attack("inversion", inversion.cma_es, "own driver around pycma (Hansen)"),
    "attribute_inversion": Attack(
        "inversion", inversion.attribute_sweep, "own driver of attribute inversion (Fredrikson et al. 2014)"
    ),
    "label_only_membership": Attack(
        "membership_inference",
        membership.label_only_boundary,
        "ART LabelOnlyDecisionBoundary (Choquette-Choo et al. 2021)",
    ),
    "knockoff_foreign": Attack(
        "extraction",
        extraction.knockoff_foreign,
        "ART KnockoffNets (Orekondy et al. 2019), foreign natural pool",
    ),
    "knockoff_held_out": Attack(
        "extraction",
        extraction.knockoff_held_out,
        "ART KnockoffNets, pool of the target's own distribution (hard)",
    ),
    "jacobian_extraction": Attack(
        "extraction", extraction.jacobian_augmentation, "own driver of JBDA (Papernot et al. 2017)"
    ),
    "random_extraction": Attack(
        "extraction", extraction.random_inputs, "own driver of uniform-input extraction (Tramer et al. 2016)"
    ),
}

DEFAULT_ATTACKS = (
    "hop_skip_jump",
    "zoo",
    "finite_difference_inversion",
    "cma_es_inversion",
    "label_only_membership",
    "knockoff_foreign",
    "boundary",
)
"""One of each kind that a detector without access to the model can be asked to find."""


def carry_out(name: str, attacker: Attacker) -> None:
    """Runs the attack until it is done or the attacker's query budget is spent."""
    try:
        ATTACKS[name].run(attacker)
    except BudgetSpent:
        return
