"""Experts of a mixture change places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.draws import draw_moves
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class ExpertPermutation:
    """Permute the experts of each mixture together with the router's rows.

    Source: our catalogue entry G11. It does not touch what is inside an expert.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"experts"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"permute"})

    @property
    def exact(self) -> bool:
        """Permutations never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the permutation of one mixture's experts."""
        return draw_moves(space, stream, permute=True, sign=False, bound=0)
