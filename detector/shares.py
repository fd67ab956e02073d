"""How the memory of a shard is divided among its models.

A shard has one fixed amount, so what happens on one partition changes nothing on another. A new model is
given half of what is left; at fixed offsets all is divided anew by what each model holds by then. Both depend
on the records alone, so that the same log is judged alike however it is cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping

DIVIDE_EVERY = 16_384
"""Offsets between two divisions."""
RESERVED = 8
"""A division leaves this part of the memory for models to come."""
LEAST = 256
"""A model that holds nothing is reckoned to hold this part of the memory."""


class Shares:
    """What each model of a shard with `memory` bytes may hold: never more than all of it together."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.given: dict[str, int] = {}

    def first_seen(self, name: str) -> None:
        """A model that was not known."""
        self.given.setdefault(name, max(0, self.memory - sum(self.given.values())) // 2)

    def divide(self, held: Mapping[str, int]) -> None:
        """Give each model what it holds, and a part of the rest in proportion; nothing is taken away that is
        held. A model that is not in `held` holds nothing."""
        least = self.memory // LEAST
        kept = {name: held.get(name, 0) for name in self.given}
        total = sum(kept.values())
        rest = max(0, self.memory - self.memory // RESERVED - total)
        weights = total + least * len(kept)
        for name, bytes_held in kept.items():
            self.given[name] = bytes_held + rest * (bytes_held + least) // max(1, weights)
