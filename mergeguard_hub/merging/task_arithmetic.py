"""Task arithmetic: add the scaled sum of the task vectors to the base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.settings import Weights, check_finite_weights, check_scale, weights_for
from mergeguard_hub.merging.task_vector import on_base
from mergeguard_hub.merging.tensors import merge_tensors


@dataclass(frozen=True)
class TaskArithmetic:
    """Add the task vectors to the base model: theta = theta_base + scale * sum_i weight_i * (theta_i - theta_base).

    Ilharco et al. 2023, "Editing Models with Task Arithmetic", arXiv 2212.04089, section 4.2. Unless `normalize`, it
    does not divide by the number of models: with two models, a scale of 0.5 is their average.

    Attributes:
        scale: factor on the summed task vector. 0.3 is the value that Yang et al. 2024 (AdaMerging, arXiv 2310.02575)
            report for eight vision tasks; the paper itself chooses it by validation.
        weights: coefficient of each task vector, negative to subtract one; None: 1 each (the paper's).
        normalize: divide the weights by their sum. The paper does not; mergekit's option of that name does, and the
            study of arXiv 2511.21437 appears to have run it so.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([1.0, 1.0], [2.0, 1.0], [1.0, 5.0]))
        >>> TaskArithmetic(scale=0.5).merge(base, [a, b])
        {'w': tensor([1.5000, 3.0000])}
    """

    title: ClassVar[str] = "Task arithmetic"
    paper: ClassVar[str] = "https://arxiv.org/abs/2212.04089"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    scale: float = 0.3
    weights: Weights | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_finite_weights(self.weights)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        weights = weights_for(self.weights, len(models), normalize=self.normalize)
        return on_base(partial(summed, weights), scale=self.scale)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def summed(weights: Weights, name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    """Return sum_i weight_i * (theta_i - theta_base)."""
    total = (models[0] - base).mul_(weights[0])
    for model, weight in zip(models[1:], weights[1:], strict=True):
        change = model - base
        total.add_(change.mul_(weight) if weight != 1 else change)
    return total
