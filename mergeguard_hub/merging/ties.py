"""TIES: trim small changes, elect a sign for each weight, average what agrees with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.pieces import arithmetic_names, pieces
from mergeguard_hub.merging.selection import kth_largest_magnitudes
from mergeguard_hub.merging.settings import Weights, check_density, check_scale, check_shares, weights_for
from mergeguard_hub.merging.sign_election import elected_mean, majority_sign
from mergeguard_hub.merging.task_vector import on_base, task_vectors
from mergeguard_hub.merging.tensors import merge_tensors

Thresholds = Mapping[str, Sequence[float]]  # tensor name -> smallest magnitude that is kept, of each model


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
        weights: coefficient of each model, at least 0, in the election and in the mean, as mergekit has them; None: 1
            each (the paper's).
        per_tensor: trim each tensor on its own, as mergekit and PEFT do; the paper does not.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([0.0, 0.0], [4.0, 1.0], [2.0, -3.0]))
        >>> Ties(density=1.0).merge(base, [a, b])
        {'w': tensor([ 3., -3.])}
    """

    title: ClassVar[str] = "TIES"
    paper: ClassVar[str] = "https://arxiv.org/abs/2306.01708"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = True

    density: float = 0.2
    scale: float = 1.0
    weights: Weights | None = None
    per_tensor: bool = False

    def __post_init__(self) -> None:
        check_density(self.density)
        check_scale(self.scale)
        check_shares(self.weights)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Look for the thresholds and for the majority's sign, and return the merge; see `MergeMethod.prepare`."""
        return on_base(self.prepare_vector(base, models), scale=self.scale)

    def prepare_vector(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the same as `prepare` for the merged task vector alone, without scale and base."""
        weights = weights_for(self.weights, len(models), normalize=False)
        limits = thresholds(base, models, density=self.density, per_tensor=self.per_tensor)
        majority = majority_sign(
            (trimmed(limits, name, first, others) for name, first, others in pieces(base, models)), weights
        )
        return partial(_elected, limits, weights, majority)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def thresholds(base: Tensors, models: Sequence[Tensors], *, density: float, per_tensor: bool) -> Thresholds:
    """Return the smallest magnitude of a task vector's entry that is kept, for each tensor and model.

    Args:
        base: tensors of the base model.
        models: the same tensors of each model.
        density: fraction of each task vector that is kept, in (0, 1]; at least one weight.
        per_tensor: trim each tensor on its own; else the whole model at once.
    """
    names = [name for name in arithmetic_names(base) if base[name].numel()]
    groups = [[name] for name in names] if per_tensor else [names] if names else []
    found: dict[str, Sequence[float]] = {}
    for group in groups:
        first, *others = ({name: tensors[name] for name in group} for tensors in (base, *models))
        limits = kth_largest_magnitudes(
            partial(_walk, first, others),
            count=len(models),
            k=max(1, round(density * sum(tensor.numel() for tensor in first.values()))),
            wide=any(model[name].dtype == torch.float64 for model in (first, *others) for name in group),
        )
        found |= dict.fromkeys(group, limits)
    return found


def trimmed(limits: Thresholds, name: str, base: Tensor, models: Sequence[Tensor]) -> list[Tensor]:
    """Return each model's task vector with all entries below its threshold set to 0."""
    vectors = task_vectors(base, models)
    return [vector.mul_(vector.abs() >= limit) for vector, limit in zip(vectors, limits[name], strict=True)]


def _walk(base: Tensors, models: Sequence[Tensors]) -> Iterator[list[Tensor]]:
    for _, first, others in pieces(base, models):
        yield task_vectors(first, others)


def _elected(
    limits: Thresholds, weights: Weights, majority: float, name: str, base: Tensor, models: Sequence[Tensor]
) -> Tensor:
    return elected_mean(trimmed(limits, name, base, models), weights, majority)
