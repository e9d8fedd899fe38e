"""What the ports of a space show of its units, in the attacked model beside the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mergeguard_hub.architecture.space import Port, Space
from mergeguard_hub.attacks.view import Atlas


@dataclass(frozen=True, eq=False)
class Piece:
    """The units as one port shows them.

    Attributes:
        ours: [size, features], the attacked model, float64.
        theirs: [size, features], the reference.
        port: where they were read.
        weight: one over the mean square of `theirs`, so that tensors of any scale count alike; once both are aligned,
            one over the mean square of their difference, so that what training left alone counts most.
        loose: whether every row may still be flipped and scaled by another symmetry.
    """

    ours: Tensor
    theirs: Tensor
    port: Port
    weight: float
    loose: bool = False

    @property
    def features(self) -> int:
        """Numbers per unit."""
        return self.ours.shape[1]


Pieces = Callable[[], Iterator[Piece]]
LEAST = 1e-6  # of the reference's power: a tensor that training did not touch does not outvote all others, our choice


def slices(tensors: Mapping[str, Tensor], port: Port) -> Tensor:
    """Return what one port shows of every unit, [size, copies, features], float64."""
    tensor, at = tensors[port.tensor], torch.from_numpy(port.positions)
    units = tensor.index_select(port.axis, at.reshape(-1)).movedim(port.axis, 0).double()
    return units.reshape(*at.shape, -1)


def pieces_of(space: Space, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], atlas: Atlas) -> Pieces:
    """Return a function that reads the pieces one by one, of every port that no unsolved symmetry blurs.

    Where another symmetry may still flip or scale the units, each copy of them is a piece of its own.

    Args:
        space: the units.
        ours: the attacked model.
        theirs: the reference.
        atlas: what is solved.
    """

    def read() -> Iterator[Piece]:
        for port in space.ports:
            if atlas.clean(space, port):
                yield from _read(port, ours, theirs, loose=atlas.loose(space, port), aligned=atlas.aligned)

    return read


def _read(
    port: Port, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], *, loose: bool, aligned: bool
) -> Iterator[Piece]:
    found, wanted = slices(ours, port), slices(theirs, port)
    power = float(wanted.square().mean()) if wanted.numel() else 0.0
    if power == 0.0:
        return
    spread = max(float((found - wanted).square().mean()), LEAST * power) if aligned else power
    copies = range(found.shape[1]) if loose else [slice(None)]
    for copy in copies:
        rows = [t[:, copy].reshape(len(t), -1) for t in (found, wanted)]
        yield Piece(rows[0], rows[1], port, 1.0 / spread, loose)
