"""Dropping entries of task vectors at random, from a seed: the first step of both DARE methods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.settings import check_density
from mergeguard_hub.merging.task_vector import task_vectors

Rescale = Literal["density", "l1", "none"]


@dataclass(frozen=True)
class Dropping:
    """Which entries are kept, and what they are multiplied by; fields as those of `Dare`.

    Raises:
        MergeError: a setting is outside its range.
    """

    density: float
    rescale: Rescale
    seed: int

    def __post_init__(self) -> None:
        check_density(self.density)
        if self.rescale not in get_args(Rescale):
            raise MergeError(f"rescale is {self.rescale!r}, and must be one of {', '.join(get_args(Rescale))}.")

    def task_vectors(self, name: str, base: Tensor, models: Sequence[Tensor]) -> list[Tensor]:
        """Return each model's task vector with dropped entries set to 0 and the others rescaled.

        Args:
            name: of the tensor; with the seed and the model's number it decides the mask.
            base: the whole tensor, [*S].
            models: the same of each model.
        """
        vectors = task_vectors(base, models)
        return [self._dropped(vector, name, position) for position, vector in enumerate(vectors)]

    def _dropped(self, vector: Tensor, name: str, position: int) -> Tensor:
        # Drawn in float32 whatever the dtype of the weights, so that the mask does not depend on it.
        drawn = torch.rand(vector.shape, generator=_generator(self.seed, position, name), dtype=torch.float32)
        kept = vector * (drawn < self.density)
        if self.rescale == "density":
            return kept / self.density
        if self.rescale == "l1":
            before, after = vector.abs().sum(), kept.abs().sum()
            return kept * (before / after) if after > 0 else kept
        return kept


def _generator(seed: int, position: int, name: str) -> torch.Generator:
    """Return the generator of one model's tensor: neither order nor number of other tensors changes it."""
    label = json.dumps([seed, position, name]).encode("ascii")
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(label).digest()[:8], "little") >> 1)
