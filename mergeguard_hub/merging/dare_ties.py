"""DARE with TIES: random dropping in place of trimming, then sign election and the mean of what agrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.pieces import arithmetic_names
from mergeguard_hub.merging.random_mask import Dropping, Rescale
from mergeguard_hub.merging.settings import Weights, check_scale, check_shares, weights_for
from mergeguard_hub.merging.sign_election import elected_mean, majority_sign
from mergeguard_hub.merging.task_vector import on_base
from mergeguard_hub.merging.tensors import merge_tensors, upcast


@dataclass(frozen=True)
class DareTies:
    """Drop entries of the task vectors at random, rescale, elect signs, and average what agrees.

    Yu et al. 2024, "Language Models are Super Mario", arXiv 2311.03099, with Yadav et al. 2023, arXiv 2306.01708,
    steps 2 and 3. It does not trim by magnitude as well: mergekit's `dare_ties` does not, the code of the DARE paper
    does.

    Attributes:
        density: probability of keeping an entry, in (0, 1]; 0.8 as in `Dare`.
        scale: factor on the merged task vector; 1 as in `Ties`.
        rescale: as in `Dare`.
        seed: of the masks, as in `Dare`: with equal seeds both drop the same entries.
        weights: coefficient of each model, at least 0, as in `Ties`.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([0.0, 0.0], [4.0, 1.0], [2.0, -3.0]))
        >>> DareTies(density=1.0).merge(base, [a, b])
        {'w': tensor([ 3., -3.])}
    """

    title: ClassVar[str] = "DARE with TIES"
    paper: ClassVar[str] = "https://arxiv.org/abs/2311.03099"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False  # a mask is drawn for a tensor as a whole

    density: float = 0.8
    scale: float = 1.0
    rescale: Rescale = "density"
    seed: int = 0
    weights: Weights | None = None

    def __post_init__(self) -> None:
        Dropping(self.density, self.rescale, self.seed)
        check_scale(self.scale)
        check_shares(self.weights)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Look for the majority's sign, and return the merge of one tensor; see `MergeMethod.prepare`."""
        weights = weights_for(self.weights, len(models), normalize=False)
        dropping = Dropping(self.density, self.rescale, self.seed)
        majority = majority_sign(_walk(dropping, base, models), weights)
        return on_base(partial(_elected, dropping, weights, majority), scale=self.scale)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def _walk(dropping: Dropping, base: Tensors, models: Sequence[Tensors]) -> Iterator[list[Tensor]]:
    for name in arithmetic_names(base):
        first, *others = upcast([base[name], *(model[name] for model in models)])
        yield dropping.task_vectors(name, first, others)


def _elected(
    dropping: Dropping, weights: Weights, majority: float, name: str, base: Tensor, models: Sequence[Tensor]
) -> Tensor:
    return elected_mean(dropping.task_vectors(name, base, models), weights, majority)
