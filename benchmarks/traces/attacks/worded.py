"""Every attack on models of texts by name: it edits strings, and sends nothing else."""

from __future__ import annotations

from benchmarks.traces.attacks import (
    worded_evasion,
    worded_extraction,
    worded_inversion,
    worded_membership,
)
from benchmarks.traces.attacks.attack import Attack

WORDED: dict[str, Attack] = {
    "word_substitution": Attack(
        "evasion", worded_evasion.word_substitution, "own code of TextFooler (Jin et al. 2020)"
    ),
    "character_edits": Attack(
        "evasion", worded_evasion.character_edits, "own code of DeepWordBug (Gao et al. 2018)"
    ),
    "genetic_words": Attack(
        "evasion", worded_evasion.genetic_words, "own code of a genetic search (Alzantot et al. 2018)"
    ),
    "good_words": Attack(
        "evasion", worded_evasion.good_words, "own code of the good word attack (Lowd and Meek 2005)"
    ),
    "hard_label_words": Attack(
        "evasion", worded_evasion.hard_label_words, "own code, labels only (after Maheshwary et al. 2021)"
    ),
    "bad_characters": Attack(
        "evasion", worded_evasion.bad_characters, "own code of imperceptible edits (Boucher et al. 2022)"
    ),
    "trigger_words": Attack(
        "evasion", worded_evasion.trigger_words, "own code of universal triggers (Wallace et al. 2019)"
    ),
    "greedy_words": Attack("inversion", worded_inversion.greedy_words, "own code, word by word"),
    "beam_words": Attack("inversion", worded_inversion.beam_words, "own code, beam search"),
    "evolving_words": Attack(
        "inversion", worded_inversion.evolving_words, "own code of a (1 + lambda) evolution strategy"
    ),
    "annealing_words": Attack(
        "inversion", worded_inversion.annealing_words, "own code of annealing (Kirkpatrick et al. 1983)"
    ),
    "slot_filling": Attack(
        "inversion", worded_inversion.slot_filling, "own code of exposure (Carlini et al. 2019)"
    ),
    "neighbour_texts": Attack(
        "membership_inference",
        worded_membership.neighbour_texts,
        "own code of neighbourhood comparison (Mattern et al. 2023)",
    ),
    "dropped_words": Attack(
        "membership_inference",
        worded_membership.dropped_words,
        "own code of label-only augmentation (Choquette-Choo et al. 2021)",
    ),
    "masked_words": Attack(
        "membership_inference",
        worded_membership.masked_words,
        "own code, words left out until the label goes",
    ),
    "more_slips": Attack(
        "membership_inference",
        worded_membership.more_slips,
        "own code, slips of the pen until the label goes",
    ),
    "shortened_texts": Attack(
        "membership_inference", worded_membership.shortened_texts, "own code, cut off until the label goes"
    ),
    "random_words": Attack(
        "extraction", worded_extraction.random_words, "own code of random queries (Krishna et al. 2020)"
    ),
    "foreign_texts": Attack(
        "extraction", worded_extraction.foreign_texts, "own code of KnockoffNets (Orekondy et al. 2019)"
    ),
    "word_weights": Attack(
        "extraction", worded_extraction.word_weights, "own code of single words (Lowd and Meek 2005)"
    ),
    "chained_words": Attack(
        "extraction", worded_extraction.chained_words, "own code, a Markov chain of words"
    ),
    "spliced_texts": Attack(
        "extraction", worded_extraction.spliced_texts, "own code of mix-up (Zhang et al. 2018) for texts"
    ),
    "uncertain_edits": Attack(
        "extraction",
        worded_extraction.uncertain_edits,
        "own code of uncertainty sampling (Lewis and Gale 1994)",
    ),
}
