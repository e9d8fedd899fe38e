"""Spaces and ports: where a network may be changed without changing what it computes.

A *space* is a set of interchangeable units inside a network: the hidden units of an MLP, the dimensions over which a
query meets a key, the channels of the residual stream. Every tensor axis that runs over those units is a *port* of
the space. A symmetry acts on the space once, and each port says how its axis follows:

    hidden units of a gated MLP      gate rows (move)   up rows (move, x s)   down columns (move, / s)
    query-key space of one head      k rows (M)         q rows (M^-T)
    value-output space of one head   v rows (M)         o columns (M^-T)

So one mechanism carries every exact symmetry of the catalogue, whatever the architecture calls its tensors and
however it fuses them. What may be done to a space is its set of *claims*; a claim counts only after it was proved
(`prove.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal[
    "hidden_units",
    "query_key",
    "value_output",
    "query_heads",
    "key_value_heads",
    "norm",
    "residual",
    "experts",
    "channels",
]
Claim = Literal["permute", "sign", "scale", "mix"]
Positions = NDArray[np.int64]

CLAIMS: tuple[Claim, ...] = ("permute", "sign", "scale", "mix")


@dataclass(frozen=True, eq=False)
class Port:
    """One tensor axis that runs over the units of a space.

    Attributes:
        tensor: name on disk.
        axis: the axis of that tensor.
        positions: [size, copies] where on the axis unit i lies; several copies when one unit owns several rows.
        sign: whether the axis takes the signs of the action.
        scale: +1 when it takes the scales (and a mix as M), -1 when their inverse (M^-T), 0 when it only moves.
    """

    tensor: str
    axis: int
    positions: Positions
    sign: bool = True
    scale: int = 0


@dataclass(frozen=True, eq=False)
class Space:
    """A set of units that a symmetry may act on, with every port it must act through.

    Attributes:
        name: unique within the checkpoint; seeds the owner's generator, so it never changes between versions.
        kind: what the units are.
        size: number of units.
        ports: tensor axes over the units.
        claims: what may be done: "permute", "sign", "scale" each unit by a power of two or any number, "mix" linearly.
        pairs: [size / 2, 2] for a space under rotary embeddings: the group is then one complex number per pair,
        "permute"
            means quarter turns, "sign" half turns, "scale" one factor per pair, "mix" any angle.
        families: for units that are whole tensors (experts): each family lists the tensor of every unit.
    """

    name: str
    kind: Kind
    size: int
    ports: tuple[Port, ...]
    claims: frozenset[Claim]
    pairs: Positions | None = None
    families: tuple[tuple[str, ...], ...] = ()

    def limited_to(self, claims: frozenset[Claim]) -> Space:
        """Return the space with only those of its claims that are in `claims`."""
        return replace(self, claims=self.claims & claims)

    @property
    def prefix(self) -> str:
        """Prefix of the module that the units belong to."""
        return self.name.partition("/")[0]

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of all tensors the space reaches."""
        family = [name for names in self.families for name in names]
        return tuple(dict.fromkeys([port.tensor for port in self.ports] + family))


def rows(start: int, size: int) -> Positions:
    """Return positions of `size` consecutive units from `start`.

    >>> rows(4, 3).tolist()
    [[4], [5], [6]]
    """
    return np.arange(start, start + size, dtype=np.int64)[:, None]
