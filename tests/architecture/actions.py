"""Small spaces, actions and weights that the tests of plans and pieces share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Mix, Monomial
from mergeguard_hub.architecture.space import CLAIMS, Port, Space


def space(*ports: Port, families: tuple[tuple[str, ...], ...] = (), size: int | None = None) -> Space:
    size = len(ports[0].positions) if size is None else size
    return Space("place/units", "hidden_units", size, ports, frozenset(CLAIMS), families=families)


def monomial(size: int, seed: int = 0, *, bound: int = 3, exact: bool = True) -> Monomial:
    draw = np.random.default_rng(seed)
    scales = 2.0 ** draw.integers(-bound, bound + 1, size) if exact else draw.uniform(0.1, 9.0, size)
    return Monomial(draw.permutation(size), draw.choice([-1.0, 1.0], size), scales)


def mix(size: int, seed: int = 0) -> Mix:
    orthogonal, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return Mix(orthogonal * np.random.default_rng(seed + 1).uniform(0.5, 2.0, size))


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(dtype)


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize])
