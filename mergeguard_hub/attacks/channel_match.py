"""Which GroupNorm group is which, when the channels inside every group are in another order too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Port, Space
from mergeguard_hub.attacks.matching import assign, similarity_of
from mergeguard_hub.attacks.pieces import Pieces


def single_units(space: Space) -> Space:
    """Return the channels of all groups as one space: each group's copies become units of their own."""
    ports = tuple(
        Port(port.tensor, port.axis, port.positions.reshape(-1, 1), port.sign, port.scale) for port in space.ports
    )
    return replace(space, size=ports[0].positions.size, ports=ports)


def fit_groups(space: Space, pieces: Pieces) -> Monomial:
    """Return the permutation of groups, each pair compared with its channels matched as well as possible.

    Args:
        space: groups of channels.
        pieces: of `single_units(space)`.
    """
    inside = space.ports[0].positions.shape[1]
    alike = similarity_of(single_units(space), pieces)
    blocks = alike.reshape(space.size, inside, space.size, inside)
    groups = torch.zeros(space.size, space.size, dtype=torch.float64)
    for one in range(space.size):
        for other in range(space.size):
            block = blocks[one, :, other].numpy()
            groups[one, other] = float(block[linear_sum_assignment(block, maximize=True)].sum())
    return Monomial(assign(groups), np.ones(space.size), np.ones(space.size))
