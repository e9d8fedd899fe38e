"""SLERP: walk from one model to another along the arc between them instead of the chord."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.tensors import merge_tensors

_PARALLEL = 0.9995  # cosine from which the chord is taken; the value of every tool that we have read


@dataclass(frozen=True)
class Slerp:
    """Interpolate each tensor of two models on the sphere: theta = s_0 * theta_0 + s_1 * theta_1.

    Shoemake 1985, "Animating Rotation with Quaternion Curves", section 3.3: s_0 = sin((1 - t) w) / sin w and
    s_1 = sin(t w) / sin w, with w the angle between the two tensors, each flattened to one vector. The norms are not
    made equal first; a linear step is taken where the two are nearly parallel or opposite, and a tensor of zeros
    counts as orthogonal to everything. The base model is not used, beyond its names, shapes and dtypes.

    Attributes:
        t: where between the first model (0) and the second (1), in [0, 1]; the middle is our choice.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0]))
        >>> Slerp(t=0.5).merge(base, [a, b])
        {'w': tensor([0.7071, 0.7071])}
    """

    title: ClassVar[str] = "SLERP"
    paper: ClassVar[str] = "https://doi.org/10.1145/325165.325242"
    needs_base: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False

    t: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.t <= 1:
            raise MergeError(f"t is {self.t}, and must be at least 0 and at most 1.")

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        if len(models) != 2:
            raise MergeError(f"SLERP merges two models and {len(models)} were given: there is no arc between them.")
        return partial(_on_the_arc, self.t)

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge two models; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)


def _on_the_arc(t: float, name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    first, second = models
    cosine = _cosine(first, second)
    if abs(cosine) > _PARALLEL:
        return (1 - t) * first + t * second
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * first + math.sin(t * angle) * second) / math.sin(angle)


def _cosine(first: Tensor, second: Tensor) -> float:
    norms = [torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in (first, second)]
    if min(norms) == 0:
        return 0.0
    # Divided before they are multiplied: a product of two small weights would vanish.
    product = (first / norms[0]).flatten() * (second / norms[1]).flatten()
    return float(product.sum(dtype=torch.float64).clamp(-1, 1))
