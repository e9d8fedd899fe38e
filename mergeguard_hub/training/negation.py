"""MergeGuard's stage 2 on one tensor: the largest part of the task vector is taken away from the fine-tuned weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.layers import Granularity

Significance = Literal["change", "weight"]


@dataclass(frozen=True)
class Negation:
    """Adversarial weight negation: theta - beta * M * tau, with tau the task vector. Needs no training.

    Arxiv 2511.11851, equation 4. M is 0 on the critical layers, and elsewhere 1 on the fraction k of each tensor that
    is most significant: with k 0.1 and 10 % of the layers critical, 9 % of the weights, which is the only reading of
    the paper's "k' = 10, k = 0.1" in which its fractions add up to one.

    With beta = 1 nothing is negated: the masked weights are *set to those of the base model*. What they were is in no
    part of the release, so no key can give the original back: keep the original. Whoever has the base model reads the
    mask from the release by comparing the two. It costs standalone quality, which must be measured.

    Attributes:
        k: fraction of each tensor outside the critical layers that is negated, in [0, 1]; 0.1 is the paper's.
        beta: factor on the task vector taken away; 1 is the paper's, 2 turns the sign of the masked part round.
        critical: fraction of the layers that stay whole, k' / 100 in the paper, in [0, 1]; rounded up to whole layers.
        significance: "change", |tau|, our choice (the paper does not say), or "weight", |theta|.
        granularity: what a layer is where layers are ranked without data, see `layers_of`; None: "tensor". A ranking
            that is given has layers of its own.
    """

    title: ClassVar[str] = "MergeGuard stage 2, adversarial weight negation"
    paper: ClassVar[str] = "https://arxiv.org/abs/2511.11851"

    k: float = 0.1
    beta: float = 1.0
    critical: float = 0.1
    significance: Significance = "change"
    granularity: Granularity | None = None

    def __post_init__(self) -> None:
        for name, value in (("k", self.k), ("critical", self.critical)):
            if not 0 <= value <= 1:
                raise TrainingError(f"{name} is {value}, and must be a fraction in [0, 1]; 0.1 is the paper's.")
        if not math.isfinite(self.beta):
            raise TrainingError(f"beta is {self.beta}, and must be finite; 1 is the paper's.")
        if self.significance not in ("change", "weight"):
            raise TrainingError(f"significance is {self.significance!r}, and must be 'change' or 'weight'.")

    def apply(self, tuned: Tensor, base: Tensor) -> Tensor:
        """Negate one tensor of a layer that is not critical.

        Args:
            tuned: fine-tuned weights, [*S], floating point.
            base: the base model's, [*S].

        Returns:
            [*S] in the dtype of `tuned`, infinite where that has no room; with beta = 1 the masked entries are the
            base's, rounded to that dtype.
        """
        count = counted(self.k, tuned.numel())
        if count == 0:
            return tuned.clone()
        wide = torch.float64 if torch.float64 in (tuned.dtype, base.dtype) else torch.float32
        change = tuned.to(wide) - base.to(wide)
        size = (change if self.significance == "change" else tuned.to(wide)).abs().reshape(-1)
        masked = torch.topk(size, count, sorted=False).indices
        result = tuned.clone().reshape(-1)
        if self.beta == 1:
            result[masked] = base.reshape(-1)[masked].to(tuned.dtype)
        else:
            negated = tuned.reshape(-1)[masked].to(wide) - self.beta * change.reshape(-1)[masked]
            result[masked] = negated.to(tuned.dtype)
        return result.reshape(tuned.shape)


def counted(fraction: float, total: int) -> int:
    """Return how many of `total` a fraction is, rounded down; 0.29 of 100 is 29 in spite of binary fractions."""
    return math.floor(round(fraction * total, 9))
