"""What the methods on singular vectors share: which tensors they act on, and decompositions in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def is_matrix(name: str, tensor: Tensor) -> bool:
    """Return whether a method on singular vectors acts on a tensor; the others are averaged.

    Two axes, and not CLIP's `text_projection`: the rule of the authors of TSV-Merge and of Iso-C. Convolutions and
    stacked experts, with more axes, are averaged.
    """
    return tensor.ndim == 2 and "text_projection" not in name


def decomposed(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin singular value decomposition of [m, n] in float64: U [m, r], S [r], V^T [r, n], r = min(m, n)."""
    left, values, right = torch.linalg.svd(matrix.to(torch.float64), full_matrices=False)
    return left, values, right


def nearest_orthogonal(matrix: Tensor) -> Tensor:
    """Return P Q^T of the decomposition P D Q^T: of all matrices with orthonormal columns (or rows) the nearest."""
    left, _, right = decomposed(matrix)
    return left @ right
