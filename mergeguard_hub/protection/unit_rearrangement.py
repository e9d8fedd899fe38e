"""Hidden units of every MLP change places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection.draws import draw_moves
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class UnitRearrangement:
    """Permute the hidden units of each MLP, and of each expert.

    Source: PaRaMS (ICCV 2025, arXiv 2503.07661), parameter rearrangement. It does not change norms or values of any
    weight, and weight matching against the base model undoes it exactly.

    Attributes:
        assignment: "random" draws the permutation from the key. "mismatch" is PaRaMS's own choice, the permutation that
            moves the weights farthest from the base model's; it needs the base and is no secret to whoever has the
            original.
        largest: MLPs with more units than this are permuted at random even under "mismatch", because the assignment
            problem is cubic in their number (our choice: 4096, a minute per layer).
    """

    assignment: Literal["random", "mismatch"] = "random"
    largest: int = 4096
    kinds: ClassVar[frozenset[Kind]] = frozenset({"hidden_units"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"permute"})

    def __post_init__(self) -> None:
        if self.assignment not in ("random", "mismatch"):
            raise RecipeError(f"UnitRearrangement: assignment is {self.assignment!r}; choose 'random' or 'mismatch'.")
        if isinstance(self.largest, bool) or not isinstance(self.largest, int) or self.largest < 0:
            raise RecipeError(f"UnitRearrangement: largest is {self.largest!r}; give a number of units, 0 or more.")

    @property
    def exact(self) -> bool:
        """Permutations never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the permutation of one MLP's units."""
        assigned = facts.assignments.get(space.name) if self.assignment == "mismatch" else None
        if assigned is None:
            return draw_moves(space, stream, permute=True, sign=False, bound=0)
        return Monomial(assigned, np.ones(space.size), np.ones(space.size))
