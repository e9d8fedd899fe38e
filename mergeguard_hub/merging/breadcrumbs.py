"""Model Breadcrumbs: drop both the smallest and the very largest changes of each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.settings import (
    Weights,
    check_density,
    check_finite_weights,
    check_scale,
    weights_for,
)
from mergeguard_hub.merging.task_vector import on_base, task_vectors, weighted_sum
from mergeguard_hub.merging.tensors import merge_tensors


@dataclass(frozen=True)
class Breadcrumbs:
    """Add the task vectors to the base model without their outliers and without their small entries.

    Davari and Belilovsky 2024, "Model Breadcrumbs", arXiv 2312.06795, section 3. Each tensor of each task vector is
    masked on its own: the fraction `gamma` of the largest magnitudes goes, rounded down, the next `density` stays, at
    least one entry, and the rest goes. Equal magnitudes are kept in their order. Nothing is rescaled.

    Attributes:
        density: fraction that is kept, in (0, 1]; 0.15 is within the authors' 0.05 to 0.2.
        gamma: fraction of the largest that is dropped, in [0, 1 - density]; 0.006 is the authors'.
        scale: factor on the summed task vectors; 0.3 is within the authors' 0.2 to 0.4.
        weights: coefficient of each task vector; None: 1 each (the paper's).

    Example:
        >>> import torch
        >>> base, a = {"w": torch.zeros(4)}, {"w": torch.tensor([1.0, -9.0, 3.0, 2.0])}
        >>> Breadcrumbs(density=0.5, gamma=0.25, scale=1.0).merge(base, [a])
        {'w': tensor([0., 0., 3., 2.])}
    """

    title: ClassVar[str] = "Model Breadcrumbs"
    paper: ClassVar[str] = "https://arxiv.org/abs/2312.06795"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False

    density: float = 0.15
    gamma: float = 0.006
    scale: float = 0.3
    weights: Weights | None = None

    def __post_init__(self) -> None:
        check_density(self.density)
        check_scale(self.scale)
        check_finite_weights(self.weights)
        if not 0 <= self.gamma <= 1 - self.density:
            raise MergeError(
                f"gamma is {self.gamma}, and must be at least 0 and, with density {self.density}, at most "
                f"{1 - self.density:g}: both are fractions of the same weights."
            )

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        weights = weights_for(self.weights, len(models), normalize=False)
        return on_base(partial(_summed, self.density, self.gamma, weights), scale=self.scale)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def _summed(
    density: float, gamma: float, weights: Weights, name: str, base: Tensor, models: Sequence[Tensor]
) -> Tensor:
    return weighted_sum([_masked(vector, density, gamma) for vector in task_vectors(base, models)], weights)


def _masked(vector: Tensor, density: float, gamma: float) -> Tensor:
    flat = vector.reshape(-1)
    dropped = math.floor(gamma * flat.numel())
    kept = max(1, round(density * flat.numel()))
    order = flat.abs().sort(descending=True, stable=True).indices[dropped : dropped + kept]
    masked = torch.zeros_like(flat)
    masked[order] = flat[order]
    return masked.view(vector.shape)
