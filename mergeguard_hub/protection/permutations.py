"""Stages that only let whole units change places: attention heads, experts, and channels of ResNet blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.draws import draw_moves
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class _Permutation:
    """Permute the units of a space and nothing else."""

    kinds: ClassVar[frozenset[Kind]]
    needs: ClassVar[frozenset[Claim]] = frozenset({"permute"})

    @property
    def exact(self) -> bool:
        """Permutations never round."""
        return True

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial:
        """Return the permutation of one space."""
        return draw_moves(space, stream, permute=True, sign=False, bound=0)


@dataclass(frozen=True)
class HeadPermutation(_Permutation):
    """Permute key-value heads with their queries, and query heads that share one key-value head.

    Source: our catalogue entry G5. Not where a head has a bias of its own that is shared between layers (T5) or
    computed from its number (ALiBi): those fail the proof and are left alone.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"query_heads", "key_value_heads"})


@dataclass(frozen=True)
class ExpertPermutation(_Permutation):
    """Permute the experts of each mixture together with the router's rows.

    Source: our catalogue entry G11. It does not touch what is inside an expert.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"experts"})


@dataclass(frozen=True)
class ChannelPermutation(_Permutation):
    """Permute channels between the two convolutions of each ResNet block, inside GroupNorm groups and whole groups.

    Source: our catalogue entry G12. The residual and skip streams of a UNet are left alone.
    """

    kinds: ClassVar[frozenset[Kind]] = frozenset({"channels"})
