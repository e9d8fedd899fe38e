"""Weight averaging, also called a linear merge or a uniform model soup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.settings import Weights, check_shares, weights_for
from mergeguard_hub.merging.task_vector import weighted_sum
from mergeguard_hub.merging.tensors import merge_tensors


@dataclass(frozen=True)
class WeightAveraging:
    """Average the weights of the models: theta = sum_i weight_i * theta_i.

    Wortsman et al. 2022, "Model soups", arXiv 2203.05482, the uniform soup; with `weights`, a linear merge. It does
    not use the base model, beyond its names, shapes and dtypes, and chooses nothing by validation (no greedy soup).

    Attributes:
        weights: coefficient of each model, at least 0; divided by their sum. None: 1/n each (the paper's).

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([0.0, 0.0], [1.0, 2.0], [3.0, 6.0]))
        >>> WeightAveraging().merge(base, [a, b])
        {'w': tensor([2., 4.])}
    """

    title: ClassVar[str] = "Weight averaging"
    paper: ClassVar[str] = "https://arxiv.org/abs/2203.05482"
    needs_base: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_shares(self.weights)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        return partial(average, weights_for(self.weights, len(models), normalize=False))

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def average(weights: Weights, name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    """Return sum_i weight_i * theta_i / sum_i weight_i; the division comes last, so that 1/3 is not rounded."""
    return weighted_sum(models, weights).div_(sum(weights))
