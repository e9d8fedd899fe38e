"""The residual stream in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.draws import draw_moves
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class ResidualShuffle:
    """Permute the channels of the residual stream, with signs where norms allow them (RMSNorm, not LayerNorm).

    Source: our catalogue entry G9. The only stage that embeddings and heads take part in, and the only one that
    stacking layers of two models (a frankenmerge) does not leave intact. Comparing embedding columns with the base
    undoes it exactly.

    Attributes:
        sign: whether to flip signs as well.
    """

    sign: bool = True
    kinds: ClassVar[frozenset[Kind]] = frozenset({"residual"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"permute"})

    @property
    def exact(self) -> bool:
        """Permutations and signs never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the signed permutation of one tower's residual stream."""
        return draw_moves(space, stream, permute=True, sign=self.sign, bound=0)
