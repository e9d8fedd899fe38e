"""Subspace Boosting: lift the weak singular values of a merged task matrix, on task arithmetic and on TIES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.settings import Weights, check_density, check_finite_weights, check_scale, weights_for
from mergeguard_hub.merging.spectrum import decomposed, is_matrix
from mergeguard_hub.merging.task_arithmetic import summed
from mergeguard_hub.merging.task_vector import on_base
from mergeguard_hub.merging.tensors import merge_tensors
from mergeguard_hub.merging.ties import Ties


@dataclass(frozen=True)
class BoostedTaskArithmetic:
    """Merge by task arithmetic, then raise the small singular values of each merged task matrix.

    Skorobogat et al. 2025, "Subspace-Boosted Model Merging", arXiv 2506.16506: with singular values in falling order,
    sigma_j becomes max(sigma_j, sigma_j*), where j* is the first j whose cumulative sum reaches the fraction `beta` of
    the total. Tensors that are no matrices are merged and not boosted.

    Attributes:
        beta: where the spectrum is cut, in (0, 1]; 1 boosts nothing. 0.2 is the value of the in-the-wild study, arXiv
            2511.21437.
        scale: factor on the merged task vector; 1 is the value of that study.
        weights: coefficient of each task vector; None: 1 each.
        normalize: divide the weights by their sum, as that study appears to have done.

    Example:
        >>> import torch
        >>> base, a = {"w": torch.zeros(2, 2)}, {"w": torch.tensor([[3.0, 0.0], [0.0, 1.0]])}
        >>> BoostedTaskArithmetic().merge(base, [a])["w"].round(decimals=4).tolist()
        [[3.0, 0.0], [0.0, 3.0]]
    """

    title: ClassVar[str] = "Subspace Boosting on task arithmetic"
    paper: ClassVar[str] = "https://arxiv.org/abs/2506.16506"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False

    beta: float = 0.2
    scale: float = 1.0
    weights: Weights | None = None
    normalize: bool = True

    def __post_init__(self) -> None:
        _check_beta(self.beta)
        check_scale(self.scale)
        check_finite_weights(self.weights)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        weights = weights_for(self.weights, len(models), normalize=self.normalize)
        return on_base(partial(_boosted, self.beta, partial(summed, weights)), scale=self.scale)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


@dataclass(frozen=True)
class BoostedTies:
    """Merge by TIES, then raise the small singular values of each merged task matrix.

    Source and rule as in `BoostedTaskArithmetic`; the merge is that of `Ties`, over the whole model.

    Attributes:
        beta: where the spectrum is cut, in (0, 1], as in `BoostedTaskArithmetic`.
        density: fraction of each task vector that is kept, in (0, 1]. 0.1 is the value of the in-the-wild study.
        scale: factor on the merged task vector; 1 is the value of that study.
        weights: coefficient of each model, at least 0, as in `Ties`.

    Example:
        >>> import torch
        >>> base, a = {"w": torch.zeros(2, 2)}, {"w": torch.tensor([[3.0, 0.0], [0.0, 1.0]])}
        >>> BoostedTies(density=1.0).merge(base, [a])["w"].round(decimals=4).tolist()
        [[3.0, 0.0], [0.0, 3.0]]
    """

    title: ClassVar[str] = "Subspace Boosting on TIES"
    paper: ClassVar[str] = "https://arxiv.org/abs/2506.16506"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False

    beta: float = 0.2
    density: float = 0.1
    scale: float = 1.0
    weights: Weights | None = None

    def __post_init__(self) -> None:
        _check_beta(self.beta)
        check_density(self.density)
        check_scale(self.scale)
        Ties(weights=self.weights)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Look for what TIES looks for, and return the merge of one tensor; see `MergeMethod.prepare`."""
        vector = Ties(density=self.density, weights=self.weights).prepare_vector(base, models)
        return on_base(partial(_boosted, self.beta, vector), scale=self.scale)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def boost(matrix: Tensor, beta: float) -> Tensor:
    """Return [m, n] with all singular values below the one where the cumulative sum reaches `beta` raised to it.

    >>> import torch
    >>> boost(torch.diag(torch.tensor([3.0, 2.0, 1.0])), 0.75).diag().round(decimals=4)
    tensor([3., 2., 2.])
    """
    left, values, right = decomposed(matrix)
    if not values.any():
        return matrix.clone()
    fractions = values.cumsum(0) / values.sum()
    cut = min(int((fractions < beta).sum()), len(values) - 1)  # rounding may leave the last fraction below 1
    return ((left * values.clamp(min=values[cut])) @ right).to(matrix.dtype)


def _boosted(beta: float, vector: TensorMerge, name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    merged = vector(name, base, models)
    return boost(merged, beta) if is_matrix(name, base) else merged


def _check_beta(beta: float) -> None:
    if not 0 < beta <= 1:
        raise MergeError(f"beta is {beta}, and must be above 0 and at most 1.")
