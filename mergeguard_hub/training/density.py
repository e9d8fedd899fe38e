"""MergeGuard's stage 1: a penalty on the size of all weights while fine-tuning, added to the gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.sharded import local, square_sum

Reduction = Literal["sum", "mean"]


@dataclass(frozen=True)
class DensityPenalty:
    """Density-aware fine-tuning: task loss + alpha * sum over layers of the squared L2 norm of their weights.

    Arxiv 2511.11851, equations 1 to 3: it is to spread what the task needs over all weights. It draws the weights to
    zero, not to the base model. The gradient of the penalty, 2 * alpha * theta, is added to the gradients in one fused
    operation after the backward pass, so no autograd graph is built over the weights; the result is that of the
    paper's loss. The paper gives neither optimizer nor steps: a plain sum over a large model is far larger than a task
    loss, so bound the steps and watch the standalone score.

    Add it once per optimizer step: after the last backward pass, after `GradScaler.unscale_` where there is one, and
    before gradients are clipped. It knows nothing of processes; gradients that are already averaged over them get the
    same addition everywhere.

    Attributes:
        alpha: weight of the penalty; 0.01 is the paper's.
        reduction: "sum", the paper's, or "mean" over all penalised weights, which hardly does anything (ours).
        decoupled: shrink the weights by the factor 1 - 2 * alpha * learning rate instead, as AdamW decays (ours).
            Through Adam's division by its second moment the literal penalty moves every weight by about the learning
            rate; decoupled, large weights move more than small ones.
        norms_and_biases: also penalise tensors with fewer than two axes, as the paper does ("all layer parameters").

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, -2.0]])
        >>> DensityPenalty(alpha=0.01).add_gradients(model)
        >>> model.weight.grad
        tensor([[ 0.0200, -0.0400]])
    """

    title: ClassVar[str] = "MergeGuard stage 1, density-aware fine-tuning"
    paper: ClassVar[str] = "https://arxiv.org/abs/2511.11851"

    alpha: float = 0.01
    reduction: Reduction = "sum"
    decoupled: bool = False
    norms_and_biases: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise TrainingError(f"alpha is {self.alpha}, and must be finite and not negative; the paper's is 0.01.")
        if self.reduction not in ("sum", "mean"):
            raise TrainingError(f"reduction is {self.reduction!r}, and must be 'sum' (the paper's) or 'mean'.")

    def value(self, model: nn.Module | Iterable[nn.Parameter]) -> Tensor:
        """Return the penalty as it would stand in the loss, for logs; costs a pass over the weights. -> scalar."""
        weights = self._penalised(model)
        return self._factor(weights) * torch.stack([square_sum(weight) for weight in weights]).sum()

    def add_gradients(self, model: nn.Module | Iterable[nn.Parameter], *, grad_scale: float = 1.0) -> None:
        """Add the penalty's gradient to `.grad` of every trained parameter; does nothing if `decoupled`.

        Args:
            model: the model, or its parameters. A tied parameter counts once.
            grad_scale: what the gradients are multiplied by now, `GradScaler.get_scale()` if they are not unscaled.

        Raises:
            TrainingError: nothing is trained, or nothing that is penalised.
        """
        if self.decoupled:
            return
        weights = self._penalised(model)
        for weight in weights:
            if weight.grad is None:  # not used by this batch, but penalised all the same
                weight.grad = torch.zeros_like(weight)
        gradients = [local(weight.grad) for weight in weights if weight.grad is not None]
        torch._foreach_add_(gradients, _data(weights), alpha=2 * self._factor(weights) * grad_scale)

    def shrink(self, model: nn.Module | Iterable[nn.Parameter], *, learning_rate: float) -> None:
        """Shrink the weights themselves, after the optimizer's step; does nothing unless `decoupled`.

        Args:
            model: as `add_gradients`.
            learning_rate: of this step.

        Raises:
            TrainingError: nothing is trained or penalised, or the weights would change their sign.
        """
        if not self.decoupled:
            return
        weights = self._penalised(model)
        factor = 1 - 2 * self._factor(weights) * learning_rate
        if not 0 <= factor <= 1:
            raise TrainingError(
                f"alpha {self.alpha} with learning rate {learning_rate} would scale the weights by {factor} in every "
                "step, which drives the loss to infinity; lower alpha so that 2 * alpha * learning rate is below 1."
            )
        torch._foreach_mul_(_data(weights), factor)

    def _penalised(self, model: nn.Module | Iterable[nn.Parameter]) -> list[nn.Parameter]:
        given = model.parameters() if isinstance(model, nn.Module) else model
        trained = [weight for weight in given if weight.requires_grad]
        if not trained:
            raise TrainingError(
                "no parameter requires a gradient, so there is nothing to protect by training: everything is frozen. "
                "Unfreeze the model, or add an adapter to it."
            )
        penalised = [weight for weight in trained if self.norms_and_biases or weight.ndim > 1]
        if not penalised:
            raise TrainingError(
                "norms_and_biases is False, and only norms and biases are trained, so there is nothing to penalise: "
                "train a matrix, or penalise all."
            )
        return penalised

    def _factor(self, weights: list[nn.Parameter]) -> float:
        return self.alpha if self.reduction == "sum" else self.alpha / max(1, sum(weight.numel() for weight in weights))


def _data(weights: list[nn.Parameter]) -> list[Tensor]:
    return [local(weight) for weight in weights]
