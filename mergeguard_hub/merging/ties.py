"""TIES: trim small changes, elect a sign for each weight, average what agrees with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.task_vector import add_task_vector, check_same_layout, task_vector


@dataclass(frozen=True)
class Ties:
    """Merge trimmed task vectors where they agree on the sign.

    Yadav et al. 2023, "TIES-Merging", arXiv 2306.01708, algorithm 1, as in the authors' code: each task vector is
    trimmed over the whole model at once (tools that trim tensor by tensor give other results); the elected sign is
    that of the sum of the trimmed values, and where that sum is exactly 0, the sign that was elected most often in
    the model; the mean counts only the models that kept the weight and agree with the sign.

    Attributes:
        density: fraction of each task vector that is kept, in (0, 1]; the largest in magnitude, at least one weight,
            and all that tie with the smallest of them. 0.2 is the paper's.
        scale: factor on the merged task vector; the paper's value without validation is 1.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([0.0, 0.0], [4.0, 1.0], [2.0, -3.0]))
        >>> Ties(density=1.0).merge(base, [a, b])
        {'w': tensor([ 3., -3.])}
    """

    title: ClassVar[str] = "TIES"
    paper: ClassVar[str] = "https://arxiv.org/abs/2306.01708"

    density: float = 0.2
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise MergeError(f"density is {self.density}, and must be above 0 and at most 1.")
        if not math.isfinite(self.scale):
            raise MergeError(f"scale is {self.scale}, and must be a finite number.")

    def merge(self, base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        check_same_layout(base, models)
        vectors = [task_vector(base, model) for model in models]
        names = list(vectors[0])
        if not names:
            return {name: tensor.clone() for name, tensor in base.items()}
        rows = [_trim(torch.cat([vector[name].flatten() for name in names]), self.density) for vector in vectors]
        merged = _disjoint_mean(torch.stack(rows))
        parts = torch.split(merged, [base[name].numel() for name in names])
        shaped = {name: part.view(base[name].shape) for name, part in zip(names, parts, strict=True)}
        return add_task_vector(base, shaped, scale=self.scale)


def _trim(vector: Tensor, density: float) -> Tensor:
    """Set all but the largest entries of a vector to 0."""
    if vector.numel() == 0:
        return vector
    kept = max(1, round(density * vector.numel()))
    magnitude = vector.abs()
    threshold = magnitude.kthvalue(vector.numel() - kept + 1).values
    return torch.where(magnitude >= threshold, vector, 0)


def _disjoint_mean(vectors: Tensor) -> Tensor:
    """Elect a sign for each weight and average the entries that have it. [num_models, n] -> [n]."""
    sign = vectors.sum(dim=0).sign()
    sign = torch.where(sign == 0, sign.sum().sign(), sign)
    agrees = (vectors.sign() == sign) & (vectors != 0)
    return (vectors * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)
