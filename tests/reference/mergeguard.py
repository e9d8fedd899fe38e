"""MergeGuard (arXiv 2511.11851) as its paper writes it down, in plain loops, for tests to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def total_loss(task_loss: Tensor, layers: list[Tensor], alpha: float) -> Tensor:
    """Equations 1 to 3: L_total = L_CE + alpha * sum_l || theta^(l) ||_2^2, with its graph."""
    return task_loss + alpha * sum((theta**2).sum() for theta in layers)


def drops(theta: Weights, theta_pre: Weights, accuracy: Callable[[Weights], float], *, zero: bool) -> dict[str, float]:
    """For every layer: mask it, measure the accuracy drop."""
    found = {}
    for layer in theta:
        masked = dict(theta)
        masked[layer] = torch.zeros_like(theta[layer]) if zero else theta_pre[layer]
        found[layer] = accuracy(theta) - accuracy(masked)
    return found


def stage2(
    theta: Weights, theta_pre: Weights, drop: Mapping[str, float], *, k: float, k_prime: float, beta: float
) -> dict[str, Tensor]:
    """Equation 4: theta^ = theta' - beta * M (.) tau', M = 0 on the top k' % of layers and on all but k of the rest."""
    order = sorted(drop, key=lambda layer: drop[layer], reverse=True)
    critical = order[: math.ceil(len(order) * k_prime / 100 - 1e-9)]
    released = {}
    for layer in theta:
        tau = theta[layer] - theta_pre[layer]
        mask = torch.zeros_like(tau)
        if layer not in critical:
            by_size = sorted(range(tau.numel()), key=lambda i: -abs(float(tau.flatten()[i])))
            for position in by_size[: int(k * tau.numel() + 1e-9)]:
                mask.view(-1)[position] = 1.0
        released[layer] = theta[layer] - beta * mask * tau
    return released
