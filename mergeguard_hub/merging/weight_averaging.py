"""Weight averaging, also called a linear merge or a uniform model soup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.task_vector import check_same_layout, working


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

    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        weights = (1.0,) if self.weights is None else self.weights
        if min(weights, default=0.0) < 0 or not 0 < sum(weights) < math.inf:
            raise MergeError(f"weights are {self.weights}, and must be at least 0, with one above 0.")

    def merge(self, base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        check_same_layout(base, models)
        weights = self.weights or (1.0,) * len(models)
        if len(weights) != len(models):
            raise MergeError(f"There are {len(weights)} weights for {len(models)} models; give one for each.")
        merged: dict[str, Tensor] = {}
        for name, tensor in base.items():
            if not tensor.is_floating_point():
                merged[name] = tensor.clone()
                continue
            terms = [weight * working(model[name]) for weight, model in zip(weights, models, strict=True)]
            total = sum(terms[1:], start=terms[0])
            merged[name] = (total / sum(weights)).to(tensor.dtype)
        return merged
