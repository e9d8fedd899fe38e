"""Model Stock: how far to go from the base to the average, from the angle between the task vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.task_vector import task_vectors
from mergeguard_hub.merging.tensors import merge_tensors

_SINGULAR = 1e-6  # of 1 + (N - 1) cos, as in mergekit


@dataclass(frozen=True)
class ModelStock:
    """Interpolate each tensor between the base model and the average: theta = t * average + (1 - t) * theta_base.

    Jang et al. 2024, "Model Stock", arXiv 2403.19522, equation 7 and its generalisation to N models:
    t = N cos / (1 + (N - 1) cos), with cos the mean cosine between the task vectors of two models, tensor by tensor.
    The paper assumes acute angles. A negative mean cosine makes t negative, which is what the formula says; where the
    task vectors cancel it has no value, and the base is returned. A task vector of zeros counts as orthogonal to all.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([0.0, 0.0], [2.0, 0.0], [3.0, 4.0]))
        >>> ModelStock().merge(base, [a, b])  # cos = 0.6, t = 1.2 / 1.6
        {'w': tensor([1.8750, 1.5000])}
    """

    title: ClassVar[str] = "Model Stock"
    paper: ClassVar[str] = "https://arxiv.org/abs/2403.19522"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        if len(models) < 2:
            raise MergeError("Model Stock needs the angle between two models at least, and 1 was given; add another.")
        return _between

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def _between(name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    vectors = task_vectors(base, models)
    count, cosine = len(vectors), _mean_cosine(vectors)
    below = 1 + (count - 1) * cosine
    t = count * cosine / below if abs(below) > _SINGULAR else 0.0
    return base + (t / count) * torch.stack(vectors).sum(dim=0)


def _mean_cosine(vectors: Sequence[Tensor]) -> float:
    units = []
    for vector in vectors:
        norm = torch.linalg.vector_norm(vector, dtype=torch.float64)
        units.append((vector / norm if norm > 0 else vector).flatten())
    found = [float((one * other).sum(dtype=torch.float64)) for one, other in combinations(units, 2)]
    return sum(found) / len(found)
