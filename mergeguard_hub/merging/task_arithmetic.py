"""Task arithmetic: add the scaled sum of the task vectors to the base model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.task_vector import add_task_vector, check_same_layout, task_vector


@dataclass(frozen=True)
class TaskArithmetic:
    """Add the task vectors to the base model: theta = theta_base + scale * sum_i (theta_i - theta_base).

    Ilharco et al. 2023, "Editing Models with Task Arithmetic", arXiv 2212.04089, section 4.2. It does not divide by
    the number of models: with two models, a scale of 0.5 is their average.

    Attributes:
        scale: factor on the summed task vector. 0.3 is the value that Yang et al. 2024 (AdaMerging) report for
            eight vision tasks; the paper itself chooses it by validation.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([1.0, 1.0], [2.0, 1.0], [1.0, 5.0]))
        >>> TaskArithmetic(scale=0.5).merge(base, [a, b])
        {'w': tensor([1.5000, 3.0000])}
    """

    title: ClassVar[str] = "Task arithmetic"
    paper: ClassVar[str] = "https://arxiv.org/abs/2212.04089"

    scale: float = 0.3

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise MergeError(f"scale is {self.scale}, and must be a finite number.")

    def merge(self, base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Merge fine-tuned models; see `MergeMethod.merge`."""
        check_same_layout(base, models)
        total = task_vector(base, models[0])
        for model in models[1:]:
            total = {name: total[name] + change for name, change in task_vector(base, model).items()}
        return add_task_vector(base, total, scale=self.scale)
