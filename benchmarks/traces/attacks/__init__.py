"""Every attack by name, with its family. Each runs against the model's predict interface and nothing else.

`ATTACKS` send numbers, `WORDED` texts.
"""

from __future__ import annotations

from benchmarks.traces.attacks import (
    by_hand,
    evasion,
    evasion_decision,
    evasion_geometry,
    evasion_score,
    evasion_sparse,
    extraction,
    extraction_active,
    extraction_curves,
    extraction_exact,
    inversion,
    inversion_guided,
    inversion_search,
    membership,
    membership_neighbours,
    pools_by_hand,
)
from benchmarks.traces.attacks.attack import Attack
from benchmarks.traces.attacks.attacker import Attacker
from benchmarks.traces.attacks.worded import WORDED
from benchmarks.traces.recorder import BudgetSpent

__all__ = ["ALL", "ATTACKS", "DEFAULT_ATTACKS", "UNSEEN", "WORDED", "Attacker", "carry_out", "fitting"]


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
    "sign_opt": Attack("evasion", evasion_decision.sign_opt, "ART SignOPTAttack (Cheng et al. 2020)"),
    "geo_da": Attack("evasion", evasion_decision.geo_da, "own driver of GeoDA (Rahmati et al. 2020)"),
    "step_widening": Attack(
        "evasion", evasion_decision.step_widening, "own driver of OARS with HopSkipJump (Feng et al. 2023)"
    ),
    "nes": Attack("evasion", evasion_score.nes, "own driver of NES (Ilyas et al. 2018)"),
    "simba": Attack("evasion", evasion_score.simba, "ART SimBA (Guo et al. 2019)"),
    "square": Attack(
        "evasion",
        evasion_score.square,
        "ART SquareAttack (Andriushchenko et al. 2020); own driver for tables",
    ),
    "nes_inversion": Attack("inversion", inversion_search.nes_inversion, "own driver of antithetic NES"),
    "differential_evolution": Attack(
        "inversion", inversion_search.differential_evolution, "SciPy differential_evolution"
    ),
    "dual_annealing": Attack("inversion", inversion_search.dual_annealing, "SciPy dual_annealing"),
    "nelder_mead": Attack("inversion", inversion_search.nelder_mead, "SciPy Nelder-Mead"),
    "latent_cma_es": Attack(
        "inversion", inversion_search.latent_cma_es, "own driver around pycma, principal components"
    ),
    "latent_differential_evolution": Attack(
        "inversion",
        inversion_search.latent_differential_evolution,
        "SciPy differential_evolution, principal components",
    ),
    "genetic_search": Attack(
        "inversion", inversion_search.genetic_search, "own driver of MIRROR (An et al. 2022)"
    ),
    "sphere_sampling": Attack(
        "inversion", inversion_search.sphere_sampling, "own driver of BREP-MI (Kahla et al. 2022)"
    ),
    "augmentation_membership": Attack(
        "membership_inference",
        membership.augmentation,
        "own driver of label-only augmentation (Choquette-Choo et al. 2021)",
    ),
    "score_membership": Attack(
        "membership_inference",
        membership.scores,
        "ART MembershipInferenceBlackBox (hard: each query is an ordinary row)",
    ),
    "equation_solving": Attack(
        "extraction",
        extraction_exact.equation_solving,
        "own driver of equation solving (Tramer et al. 2016)",
    ),
    "line_search": Attack(
        "extraction", extraction_exact.line_search, "own driver of boundary line search (Lowd and Meek 2005)"
    ),
    "tree_paths": Attack(
        "extraction", extraction_exact.tree_paths, "own driver of tree path finding (Tramer et al. 2016)"
    ),
    "active_thief_foreign": Attack(
        "extraction",
        extraction_active.active_thief_foreign,
        "own driver of ActiveThief (Pal et al. 2020), foreign natural pool",
    ),
    "active_thief_held_out": Attack(
        "extraction",
        extraction_active.active_thief_held_out,
        "own driver of ActiveThief, pool of the target's own distribution (hard)",
    ),
    "hill_climbing": Attack("inversion", by_hand.hill_climbing, "own code, random hill climbing"),
    "evolution_strategy": Attack(
        "inversion", by_hand.evolution_strategy, "own code of the (1+1)-ES (Rechenberg 1973)"
    ),
    "metropolis": Attack(
        "inversion", by_hand.metropolis, "own code of simulated annealing (Kirkpatrick et al. 1983)"
    ),
    "spsa": Attack("inversion", by_hand.spsa, "own code of SPSA (Spall 1992)"),
    "pattern_search": Attack(
        "inversion", by_hand.pattern_search, "own code of pattern search (Hooke and Jeeves 1961)"
    ),
    "noise_escalation": Attack(
        "evasion", by_hand.noise_escalation, "own code of repeated additive noise, as in foolbox"
    ),
    "blending": Attack("evasion", by_hand.blending, "own code of a search between two records"),
    "gaussian_extraction": Attack(
        "extraction", pools_by_hand.gaussian_inputs, "own code, normal noise like the data"
    ),
    "mixture_extraction": Attack(
        "extraction", pools_by_hand.mixtures, "own code of mix-up (Zhang et al. 2018) as a pool"
    ),
    "grid_extraction": Attack("extraction", pools_by_hand.grids, "own code, grids over columns"),
    "column_extraction": Attack(
        "extraction", pools_by_hand.redrawn_columns, "own code, one column redrawn at a time"
    ),
    "neighbour_extraction": Attack(
        "extraction", pools_by_hand.uncertain_neighbours, "own code, uncertainty sampling round own rows"
    ),
    "noise_membership": Attack(
        "membership_inference",
        pools_by_hand.noise_membership,
        "own code of label-only noise (Choquette-Choo et al. 2021)",
    ),
    "surfree": Attack("evasion", evasion_geometry.surfree, "own code of SurFree (Maho et al. 2021)"),
    "rays": Attack("evasion", evasion_geometry.rays, "own code of RayS (Chen and Gu 2020)"),
    "triangle": Attack(
        "evasion", evasion_geometry.triangle, "own code of Triangle Attack (Wang et al. 2022)"
    ),
    "bandits": Attack("evasion", evasion_score.bandits, "own code of bandits (Ilyas et al. 2019)"),
    "pointwise": Attack("evasion", evasion_sparse.pointwise, "own code of Pointwise (Schott et al. 2019)"),
    "sparse_search": Attack(
        "evasion", evasion_sparse.sparse_search, "own code of Sparse-RS (Croce et al. 2022)"
    ),
    "transplants": Attack(
        "evasion", evasion_sparse.transplants, "own code of mimicry (after Pierazzi et al. 2020)"
    ),
    "surrogate_search": Attack(
        "inversion", inversion_guided.surrogate_search, "own code of SMAC (Hutter et al. 2011), extra trees"
    ),
    "zeroth_order_adam": Attack(
        "inversion", inversion_guided.zeroth_order_adam, "own code of ZO-AdaMM (Chen et al. 2019)"
    ),
    "policy_search": Attack(
        "inversion", inversion_guided.policy_search, "own code of REINFORCE (after RLB-MI, Han et al. 2023)"
    ),
    "powell": Attack("inversion", inversion_guided.powell, "SciPy Powell"),
    "data_free_extraction": Attack(
        "extraction", extraction_curves.data_free, "own code of data-free extraction (Truong et al. 2021)"
    ),
    "curve_extraction": Attack(
        "extraction", extraction_curves.response_curves, "own code, one column over its range at a time"
    ),
    "spread_extraction": Attack(
        "extraction",
        extraction_curves.spread_uncertainty,
        "own code of query by committee with spread (Seung et al. 1992)",
    ),
    "crossing_membership": Attack(
        "membership_inference",
        membership_neighbours.crossing_distance,
        "own code of label-only distance (Choquette-Choo et al. 2021)",
    ),
    "radius_membership": Attack(
        "membership_inference",
        membership_neighbours.growing_radius,
        "own code of growing noise (Rahimian et al. 2020)",
    ),
    "neighbour_membership": Attack(
        "membership_inference",
        membership_neighbours.changed_neighbours,
        "own code of neighbourhood comparison (Mattern et al. 2023)",
    ),
    "flatness_membership": Attack(
        "membership_inference",
        membership_neighbours.flatness,
        "own code of gradient size (Nasr et al. 2019), by differences",
    ),
    "masking_membership": Attack(
        "membership_inference",
        membership_neighbours.masking,
        "own code, columns left out until the label goes",
    ),
}

ALL: dict[str, Attack] = ATTACKS | WORDED
"""Both."""

UNSEEN = ("knockoff_held_out", "active_thief_held_out", "score_membership")
"""Attacks whose queries are ordinary by any measure: no log shows them."""

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


def fitting(name: str, texts: bool) -> bool:
    """Whether the attack can be carried out on a model whose inputs are texts that one writes, or numbers."""
    return (name in WORDED) == texts


def carry_out(name: str, attacker: Attacker) -> None:
    """Runs the attack until it is done or the attacker's query budget is spent."""
    try:
        ALL[name].run(attacker)
    except BudgetSpent:
        return
