"""DARE: drop most of each task vector at random, rescale the rest, then merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.random_mask import Dropping, Rescale
from mergeguard_hub.merging.settings import Weights, check_finite_weights, check_scale, weights_for
from mergeguard_hub.merging.task_vector import on_base, weighted_sum
from mergeguard_hub.merging.tensors import merge_tensors


@dataclass(frozen=True)
class Dare:
    """Keep each entry of a task vector with probability `density`, rescale, and add the sum to the base model.

    Yu et al. 2024, "Language Models are Super Mario", arXiv 2311.03099, equations 1 to 3, followed by task arithmetic.
    The expected task vector stays as it is. It drops at random and not by magnitude, so the same seed is part of the
    result; masks come from torch's generator on the CPU and may be others in another version of torch.

    Attributes:
        density: probability of keeping an entry, in (0, 1]; one minus the paper's drop rate p. 0.8 is the p = 0.2 of
            the authors' README for merges of language models; alone, models stand p = 0.9.
        scale: factor on the summed task vector. 1 is the authors' for language models.
        rescale: "density" divides by the density (the paper's); "l1" keeps each tensor's sum of magnitudes, as mergekit
            0.1.5 does; "none" does nothing.
        seed: of the masks; each model and tensor has a generator of its own, derived from it.
        weights: coefficient of each task vector; None: 1 each (the paper's).

    Example:
        >>> import torch
        >>> base, a = ({"w": torch.full((4,), value)} for value in (1.0, 2.0))
        >>> sorted(set(Dare(density=0.5).merge(base, [a])["w"].tolist()))
        [1.0, 3.0]
    """

    title: ClassVar[str] = "DARE"
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
        check_finite_weights(self.weights)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        weights = weights_for(self.weights, len(models), normalize=False)
        return on_base(partial(_summed, Dropping(self.density, self.rescale, self.seed), weights), scale=self.scale)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def _summed(dropping: Dropping, weights: Weights, name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    return weighted_sum(dropping.task_vectors(name, base, models), weights)
