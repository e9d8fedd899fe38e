"""Factors on the linear half of gated units, taken back in the output columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.draws import draw_moves, require_exponent
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class UnitScaling:
    """Multiply each gated unit's linear half by plus or minus a power of two and divide its output column by it.

    Source: our catalogue entry G2; it holds for SwiGLU, GEGLU and ReGLU, where the gate does not see the factor, and
    without signs for ReLU. Units of a plain GELU or SiLU MLP have no such freedom and are left alone.

    Attributes:
        max_exponent: factors are 2^-n .. 2^n. Default 4: on trained models as destructive to merges as Gaussian mixes
            (docs/findings.md), and narrower where 16-bit weights would lose bits.
        sign: whether to flip signs as well.
    """

    max_exponent: int = 4
    sign: bool = True
    kinds: ClassVar[frozenset[Kind]] = frozenset({"hidden_units"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"sign", "scale"})

    def __post_init__(self) -> None:
        require_exponent("UnitScaling", self.max_exponent)

    @property
    def exact(self) -> bool:
        """Signs and powers of two never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the factors of one MLP's units."""
        return draw_moves(space, stream, permute=False, sign=self.sign, bound=facts.bound(space, self.max_exponent))
