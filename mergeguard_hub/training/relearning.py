"""A free-rider's training inside ours: a merge is trained back for a few steps before its loss counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.sharded import local


@dataclass(frozen=True)
class Relearning:
    """Every few batches, let the drawn merge be trained back before it is made bad.

    Ours, after the inner loops of tamper-resistant training (Tamirisa et al. 2024, arXiv 2408.00761), to first order:
    the gradient at the weights that the free-rider reaches is taken for that at the merge it began with. Steps are
    those of Adam's first ones, learning rate times the sign of the gradient. Each costs a forward and a backward pass.

    It does *not* make a merge safe from people with data; docs/hardening.md has what it did to the cost of recovery.

    Attributes:
        data: computes the loss of a batch of its own, drawn anew each time, with the model's weights as they are now.
        steps: of the free-rider.
        lr: of each step.
        every: one batch in so many has it.
    """

    data: Callable[[], Tensor]
    steps: int = 4
    lr: float = 1e-3
    every: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.every < 1 or not 0 < self.lr < math.inf:
            raise TrainingError(
                f"steps, lr and every are {self.steps}, {self.lr} and {self.every}; they must be at least 1, positive "
                "and at least 1."
            )
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            raise TrainingError("relearning works in one process: several would train the merge back differently.")

    def due(self, drawn: int) -> bool:
        """Say whether the merge drawn as this number, counted from 1, is trained back."""
        return drawn % self.every == 0

    def train(self, weights: Sequence[Tensor]) -> None:
        """Train the moved weights in place; the gradients that they have stay."""
        for _ in range(self.steps):
            gradients = torch.autograd.grad(self.data(), list(weights), allow_unused=True)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    if gradient is not None:
                        local(weight).add_(gradient.sign(), alpha=-self.lr)
            torch.clear_autocast_cache()
