"""The group that commutes with rotary embeddings: one complex number per rotated pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Space
from mergeguard_hub.architecture.steps import Floats


def quarter_turns(space: Space, turns: NDArray[np.int64], scales: Floats) -> Monomial:
    """Turn every pair by a multiple of 90 degrees and scale it: exact in any floating dtype for powers of two.

    Args:
        space: a space with pairs.
        turns: [pairs], quarter turns in 0..3.
        scales: [pairs], positive.
    """
    pairs = _pairs(space)
    permutation = np.arange(space.size, dtype=np.int64)
    signs, factors = np.ones(space.size), np.ones(space.size)
    first, second = pairs[:, 0], pairs[:, 1]
    odd = turns % 2 == 1
    permutation[first[odd]], permutation[second[odd]] = second[odd], first[odd]
    # (x, y) -> (-y, x) -> (-x, -y) -> (y, -x)
    signs[first] = np.array([1.0, -1.0, -1.0, 1.0])[turns]
    signs[second] = np.array([1.0, 1.0, -1.0, -1.0])[turns]
    factors[first] = factors[second] = scales
    return Monomial(permutation, signs, factors)


def rotations(space: Space, angles: Floats, scales: Floats) -> Floats:
    """Return the [size, size] matrix that turns every pair by its angle (radians) and scales it."""
    pairs = _pairs(space)
    matrix = np.zeros((space.size, space.size))
    first, second = pairs[:, 0], pairs[:, 1]
    matrix[first, first] = matrix[second, second] = scales * np.cos(angles)
    matrix[first, second], matrix[second, first] = -scales * np.sin(angles), scales * np.sin(angles)
    return matrix


def _pairs(space: Space) -> NDArray[np.int64]:
    if space.pairs is None:
        raise ValueError(f"{space.name} has no rotary pairs")
    return space.pairs
