"""Iso-C: make all singular values of the summed task matrix equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.settings import check_scale
from mergeguard_hub.merging.spectrum import decomposed, is_matrix
from mergeguard_hub.merging.task_vector import on_base, task_vectors
from mergeguard_hub.merging.tensors import merge_tensors


@dataclass(frozen=True)
class IsoC:
    """Flatten the spectrum of the summed task matrix: every singular value becomes their mean.

    Marczak et al. 2025, "No Task Left Behind: Isotropic Model Merging", arXiv 2502.04959, section 4.2, as in the
    authors' code: matrices only, other tensors are averaged. The variant with task-specific directions (Iso-CTS) is
    not computed. Where the sum has less than full rank, the directions without change get the mean as well, and which
    vectors span them is up to the decomposition.

    Attributes:
        scale: factor on the merged task vector; 1 as in FusionBench, the authors choose it by validation.

    Example:
        >>> import torch
        >>> base, a = {"w": torch.zeros(2, 2)}, {"w": torch.tensor([[3.0, 0.0], [0.0, 1.0]])}
        >>> IsoC().merge(base, [a])["w"].round(decimals=4).tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """

    title: ClassVar[str] = "Iso-C"
    paper: ClassVar[str] = "https://arxiv.org/abs/2502.04959"
    needs_base: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale(self.scale)

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        return on_base(_merged, scale=self.scale)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def _merged(name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    vectors = torch.stack(task_vectors(base, models))
    if not is_matrix(name, base):
        return vectors.mean(dim=0)
    left, values, right = decomposed(vectors.sum(dim=0))
    return (values.mean() * left @ right).to(base.dtype)
