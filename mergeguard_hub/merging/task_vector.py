"""Task vectors: what fine-tuning added to the base model, and adding a merged one back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge


def on_base(vector: TensorMerge, *, scale: float) -> TensorMerge:
    """Return the merge that adds a scaled task vector to the base model.

    Args:
        vector: merges the task vectors of one tensor.
        scale: factor on the merged task vector.
    """
    return partial(_add, vector, scale)


def task_vectors(base: Tensor, models: Sequence[Tensor]) -> list[Tensor]:
    """Return fine-tuned minus base for each model."""
    return [model - base for model in models]


def weighted_sum(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the sum of weight * vector, taken in the order of the models; always a new tensor."""
    total = vectors[0] * weights[0]
    for vector, weight in zip(vectors[1:], weights[1:], strict=True):
        total.add_(vector * weight)
    return total


def _add(vector: TensorMerge, scale: float, name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    return base + scale * vector(name, base, models)
