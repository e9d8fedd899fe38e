"""Cleaning a release by what its weights look like, without solving anything: pruning, clipping, rounding, reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mergeguard_hub.attacks.attack import Knowledge, Need, Tensors, check_same_tensors, floating, rewritten
from mergeguard_hub.errors import AttackError


@dataclass(frozen=True)
class Pruning:
    """Keep only the largest entries of the task vector of each tensor, and set the others back to the base.

    The trimming of TIES (arXiv 2306.01708) used as an attack: changes that were spread out to disturb a merge fall
    away, the strongest stay.

    Attributes:
        density: fraction kept of each tensor, in (0, 1]; at least one entry. 0.2 is TIES's.
    """

    title: ClassVar[str] = "Pruning of the task vector"
    paper: ClassVar[str] = "https://arxiv.org/abs/2306.01708"
    needs: ClassVar[frozenset[Need]] = frozenset({"base"})
    everyone: ClassVar[bool] = False

    density: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise AttackError(f"density is {self.density}, and must be above 0 and at most 1.")

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the base with the largest changes only; see `Attack.apply`."""
        check_same_tensors(protected, base)
        changed = {}
        for name in floating(protected):
            change = protected[name].double() - base[name].double()
            if change.numel() == 0:
                continue
            kept = max(1, round(self.density * change.numel()))
            threshold = change.abs().flatten().kthvalue(change.numel() - kept + 1).values
            changed[name] = base[name].double() + torch.where(change.abs() >= threshold, change, 0.0)
        return rewritten(protected, changed)


@dataclass(frozen=True)
class SpectralClipping:
    """Clip the singular values of each matrix of the task vector at a quantile of them.

    Ours: a protection that adds a few strong directions shows as outliers of the spectrum. Vectors stay as they are;
    tensors with more than two axes count as a matrix of their first axis.

    Attributes:
        quantile: singular values above this quantile are set to it, in [0, 1]; 0.9 is our choice, 1 changes nothing.
    """

    title: ClassVar[str] = "Spectral clipping of the task vector"
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset({"base"})
    everyone: ClassVar[bool] = False

    quantile: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.quantile <= 1:
            raise AttackError(f"quantile is {self.quantile}, and must be from 0 to 1.")

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the base plus the clipped task vector; see `Attack.apply`."""
        check_same_tensors(protected, base)
        changed = {}
        for name in floating(protected):
            if protected[name].ndim < 2 or protected[name].numel() == 0:
                continue
            change = protected[name].double() - base[name].double()
            left, values, right = torch.linalg.svd(change.reshape(len(change), -1), full_matrices=False)
            clipped = values.clamp_max(float(values.quantile(self.quantile)))
            changed[name] = base[name].double() + ((left * clipped) @ right).reshape(change.shape)
        return rewritten(protected, changed)


@dataclass(frozen=True)
class Rounding:
    """Round every matrix to a few bits per weight and back, as quantised copies of a model are.

    Symmetric round-to-nearest with one scale per row, the plainest form of weight quantisation (as LLM.int8(), arXiv
    2208.07339, without its outlier columns). Whatever a protection hides in the low bits is gone.

    Attributes:
        bits: 8 or 4 are usual; from 2 to 16.
    """

    title: ClassVar[str] = "Rounding to few bits"
    paper: ClassVar[str] = "https://arxiv.org/abs/2208.07339"
    needs: ClassVar[frozenset[Need]] = frozenset()
    everyone: ClassVar[bool] = False

    bits: int = 8

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise AttackError(f"bits is {self.bits}, and must be from 2 to 16.")

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release with rounded matrices; see `Attack.apply`."""
        check_same_tensors(protected, base)
        levels = 2 ** (self.bits - 1) - 1
        changed = {}
        for name in floating(protected):
            if protected[name].ndim < 2 or protected[name].numel() == 0:
                continue
            rows = protected[name].double().reshape(len(protected[name]), -1)
            step = (rows.abs().amax(1, keepdim=True) / levels).clamp_min(1e-300)
            changed[name] = ((rows / step).round() * step).reshape(protected[name].shape)
        return rewritten(protected, changed)


@dataclass(frozen=True)
class MaskReadout:
    """Make up for what a mask took out, where the release equals the base to the bit.

    MergeGuard's second stage with beta 1 (arXiv 2511.11851) sets a tenth of the weights to the base's own values, so
    the mask is readable from the release. What stood there is not, but the task vector without those entries is too
    short; each tensor's is stretched to make up for the fraction that the mask took, as DARE (arXiv 2311.03099) does
    for what it drops.

    Attributes:
        least: fraction of a tensor that must equal the base before it counts as masked, so that layers that were never
            trained are left alone together with chance; our choice.
    """

    title: ClassVar[str] = "Mask read-out"
    paper: ClassVar[str] = "https://arxiv.org/abs/2511.11851"
    needs: ClassVar[frozenset[Need]] = frozenset({"base"})
    everyone: ClassVar[bool] = False

    least: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise AttackError(f"least is {self.least}, and must be above 0 and at most 1.")

    def apply(self, protected: Tensors, *, base: Tensors, knowledge: Knowledge) -> dict[str, Tensor]:
        """Return the release with masked tensors' changes stretched; see `Attack.apply`."""
        check_same_tensors(protected, base)
        changed = {}
        for name, mask in read_mask(protected, base).items():
            masked = float(mask.double().mean()) if mask.numel() else 0.0
            if self.least <= masked < 1:
                change = protected[name].double() - base[name].double()
                changed[name] = base[name].double() + change / (1 - masked)
        return rewritten(protected, changed)


def read_mask(protected: Tensors, base: Tensors) -> dict[str, Tensor]:
    """Return which weights of a release are the base's own, to the bit: tensor name -> booleans of its shape.

    Args:
        protected: the release.
        base: the public base model.

    >>> read_mask({"w": torch.tensor([1.0, 2.5])}, {"w": torch.tensor([1.0, 2.0])})
    {'w': tensor([ True, False])}
    """
    return {name: protected[name] == base[name].to(protected[name].dtype) for name in floating(protected)}
