"""Metrics-Weighted Averaging: average checkpoints of one run, the better or the later ones more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, get_args

from torch import Tensor

from mergeguard_hub.errors import MergeError
from mergeguard_hub.merging.method import TensorMerge, Tensors
from mergeguard_hub.merging.settings import Weights, check_count
from mergeguard_hub.merging.tensors import merge_tensors
from mergeguard_hub.merging.weight_averaging import average

Scheme = Literal["power", "softmax"]


@dataclass(frozen=True)
class MetricsWeightedAveraging:
    """Average checkpoints of one training run with weights from their losses, or from how long they were trained.

    Yu and Choi 2025, "Metrics-Weighted Averaging", arXiv 2504.18580. **The formula is our reading**: the paper was not
    at hand; what is known of it is a weight from training loss or training step, with one penalty however many
    checkpoints there are. Here, before division by their sum,

        power, of losses    weight_i = (smallest loss / loss_i) ^ penalty
        power, of steps     weight_i = (step_i / largest step) ^ penalty
        softmax             weight_i = exp(-penalty * (loss_i - smallest) / (largest - smallest)), of steps with +

    so that a penalty of 0 is the uniform average and a large one the best, or last, checkpoint. Of LoRA checkpoints it
    averages A and B separately, as it does any two tensors: the product B A is not the average of the products. It
    merges before protecting: releases of different keys have nothing in common that could be averaged.

    Attributes:
        losses: training or validation loss of each checkpoint, above 0; None to weight by steps.
        steps: training step (or epoch) of each checkpoint, above 0; None without losses: 1, 2, 3 and so on, the
            checkpoints in the order of training.
        penalty: how much a better or later one counts, at least 0; 1 is our choice.
        scheme: "power" or "softmax"; the first is our choice.

    Example:
        >>> import torch
        >>> base, a, b = ({"w": torch.tensor(values)} for values in ([0.0], [3.0], [6.0]))
        >>> MetricsWeightedAveraging(losses=(1.0, 0.5)).merge(base, [a, b])
        {'w': tensor([5.])}
    """

    title: ClassVar[str] = "Metrics-Weighted Averaging"
    paper: ClassVar[str] = "https://arxiv.org/abs/2504.18580"
    needs_base: ClassVar[bool] = False
    elementwise: ClassVar[bool] = True

    losses: Weights | None = None
    steps: Weights | None = None
    penalty: float = 1.0
    scheme: Scheme = "power"

    def __post_init__(self) -> None:
        if self.losses is not None and self.steps is not None:
            raise MergeError("losses and steps are both given; weight the checkpoints by one of them.")
        for what, values in (("losses", self.losses), ("steps", self.steps)):
            if values is not None and not (values and all(0 < value < math.inf for value in values)):
                raise MergeError(f"{what} are {values}, and must be finite and above 0, one for each checkpoint.")
        if not 0 <= self.penalty < math.inf:
            raise MergeError(f"penalty is {self.penalty}, and must be finite and at least 0.")
        if self.scheme not in get_args(Scheme):
            raise MergeError(f"scheme is {self.scheme!r}, and must be one of {', '.join(get_args(Scheme))}.")

    def weights(self, count: int) -> Weights:
        """Return the weight of each of `count` checkpoints, the largest 1; the average divides by their sum.

        Raises:
            MergeError: there is another number of losses or steps than of checkpoints.
        """
        if self.losses is not None:
            check_count(self.losses, count, what="losses")
            # The smallest loss is the largest merit, whichever scheme takes its logarithm or its range.
            return self._of_merits(self.losses, best=min(self.losses), worst=max(self.losses))
        steps = self.steps if self.steps is not None else tuple(float(number) for number in range(1, count + 1))
        check_count(steps, count, what="steps")
        return self._of_merits(steps, best=max(steps), worst=min(steps))

    def prepare(self, base: Tensors, models: Sequence[Tensors]) -> TensorMerge:
        """Return the merge of one tensor; see `MergeMethod.prepare`."""
        return partial(average, self.weights(len(models)))

    def merge(self, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
        """Merge checkpoints; see `MergeMethod.merge`."""
        return merge_tensors(self, base, models)

    def _of_merits(self, values: Weights, *, best: float, worst: float) -> Weights:
        if best == worst:
            return (1.0,) * len(values)
        if self.scheme == "softmax":
            return tuple(math.exp(-self.penalty * (value - best) / (worst - best)) for value in values)
        return tuple(min(value / best, best / value) ** self.penalty for value in values)
