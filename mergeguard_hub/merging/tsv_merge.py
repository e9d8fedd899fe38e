"""TSV-Merge: keep the strongest singular directions of each task and take their overlap away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.settings import check_scale
from mergeguard_hub.merging.spectrum import decomposed, is_matrix, nearest_orthogonal
from mergeguard_hub.merging.task_vector import on_base, task_vectors
from mergeguard_hub.merging.tensors import merge_tensors


@dataclass(frozen=True)
class TsvMerge:
    """Merge task singular vectors: compress each task's matrix to rank r / T, whiten, and add up.

    Gargiulo et al. 2025, "Task Singular Vectors", arXiv 2412.00081, algorithm 1, as in the authors' code: of each of T
    task matrices the largest 1/T of the r singular values are kept, rounded down; the singular vectors of all tasks are
    stood side by side, and U and V are replaced by the nearest orthonormal ones. Tensors that are no matrices are
    averaged. It decomposes every matrix T + 2 times in float64: slow on large models.

    Where r < T the authors' code keeps nothing; one direction of each task is kept here (our choice).

    Attributes:
        scale: factor on the merged task vector; 1 is the value of the in-the-wild study, arXiv 2511.21437, and of
            FusionBench, the authors choose it by validation.

    Example:
        >>> import torch
        >>> base, a = {"w": torch.eye(2)}, {"w": torch.tensor([[3.0, 1.0], [0.0, 2.0]])}
        >>> bool(torch.allclose(TsvMerge().merge(base, [a])["w"], a["w"]))
        True
    """

    title: ClassVar[str] = "TSV-Merge"
    paper: ClassVar[str] = "https://arxiv.org/abs/2412.00081"
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
    vectors = task_vectors(base, models)
    if not is_matrix(name, base):
        return torch.stack(vectors).mean(dim=0)
    kept = max(1, min(base.shape) // len(vectors))
    parts = [(u[:, :kept], s[:kept], v[:kept]) for u, s, v in map(decomposed, vectors)]
    left = nearest_orthogonal(torch.cat([u for u, _, _ in parts], dim=1))  # [m, T * kept]
    right = nearest_orthogonal(torch.cat([v for _, _, v in parts], dim=0))  # [T * kept, n]
    return ((left * torch.cat([s for _, s, _ in parts])) @ right).to(base.dtype)
