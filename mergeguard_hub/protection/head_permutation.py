"""Attention heads change places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.draws import draw_moves
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class HeadPermutation:
    """Permute key-value heads with their queries, and query heads that share one key-value head.

    Source: our catalogue entry G5. Not where a head has a bias of its own that is shared between layers (T5) or
    computed from its number (ALiBi): those fail the proof and are left alone. It does not touch what is inside a head.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"query_heads", "key_value_heads"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"permute"})

    @property
    def exact(self) -> bool:
        """Permutations never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the permutation of one attention's heads."""
        return draw_moves(space, stream, permute=True, sign=False, bound=0)
