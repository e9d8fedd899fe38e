"""Trap² (arXiv 2601.21898) as its paper writes it down, with one autograd graph over everything, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
Loss = Callable[[Weights], Tensor]


def full(loss: Loss, weights: Weights, base: Weights, *, scale: float, strength: float, w: float, cap: float) -> Tensor:
    """J = L(W0 + dW) - lambda * w(s) * min(L(W0 + s dW), cap), dW = W - W0."""
    scaled = {name: base[name] + scale * (weights[name] - base[name]) for name in weights}
    return loss(weights) - strength * w * torch.clamp(loss(scaled), max=cap)


def lora(loss: Loss, weights: Weights, *, scale: float, strength: float, w: float) -> Tensor:
    """The same for adapters: s multiplies lora_B only."""
    scaled = {name: scale * weight if ".lora_B." in name else weight for name, weight in weights.items()}
    return loss(weights) - strength * w * loss(scaled)


def plane(loss: Loss, weights: Weights, base: Weights, partner: Weights, *, a: float, b: float) -> Tensor:
    """L(W0 + a dW + b rho)."""
    return loss({name: base[name] + a * (weights[name] - base[name]) + b * partner[name] for name in weights})
