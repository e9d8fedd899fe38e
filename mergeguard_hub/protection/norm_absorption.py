"""Factors moved from a norm's gain into its readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.draws import draw_moves, require_exponent
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class NormAbsorption:
    """Multiply each channel of a norm's gain by plus or minus a power of two and divide its readers' columns by it.

    Source: our catalogue entry G8. Not for norms that multiply by 1 + w (Gemma), nor for norms whose output is the
    residual stream itself (BERT): those fail the proof and are left alone.

    Attributes:
        max_exponent: factors are 2^-n .. 2^n.
        sign: whether to flip signs as well.
    """

    max_exponent: int = 4
    sign: bool = True
    kinds: ClassVar[frozenset[Kind]] = frozenset({"norm"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"scale", "sign"})

    def __post_init__(self) -> None:
        require_exponent("NormAbsorption", self.max_exponent)

    @property
    def exact(self) -> bool:
        """Signs and powers of two never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the factors of one norm."""
        return draw_moves(space, stream, permute=False, sign=self.sign, bound=facts.bound(space, self.max_exponent))
