"""Channels inside ResNet blocks change places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.draws import draw_moves
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class ChannelPermutation:
    """Permute channels between the two convolutions of each ResNet block, inside GroupNorm groups and whole groups.

    Source: our catalogue entry G12. The residual and skip streams of a UNet are left alone.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"channels"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"permute"})

    @property
    def exact(self) -> bool:
        """Permutations never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the permutation of one block's groups, or of the channels of one group."""
        return draw_moves(space, stream, permute=True, sign=False, bound=0)
