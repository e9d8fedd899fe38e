"""Early stopping for hardening: the weights that hold best among those that are still good alone."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.snapshot import Snapshot


class Gate:
    """Keeps the weights with the lowest transfer to merges among those whose loss alone is within a tolerance.

    Hardening starts by making the model alone worse, and brings it back while merges stay bad; a schedule that ends too
    early, or a strength that is too large, leaves some of that in the release. Look now and then, and take what was
    kept in the end. Memory: one copy of the trained weights.

    Args:
        model: what is trained, as finished as it will be published without hardening: its loss now is the reference.
        alone: measures the loss of the model as it is, on examples that it is not trained on; positive.
        tolerance: how much larger than the reference it may be, as a part of it; 0.01 is our choice.

    Raises:
        TrainingError: the reference is not positive and finite, the tolerance is negative, or everything is frozen.

    Example:
        gate = Gate(model, validation_loss)
        for step, batch in enumerate(batches):
            ...  # a step with `HardeningLoss`
            if step % 100 == 99:
                gate.look(transfer=hardening.metrics()["transfer"])
        gate.restore()
    """

    def __init__(self, model: nn.Module, alone: Callable[[], float], *, tolerance: float = 0.01) -> None:
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        self._alone, self._kept = alone, Snapshot(model, weights)
        self.reference = alone()
        if not (0 < self.reference < math.inf and tolerance >= 0 and weights):
            raise TrainingError(
                f"the loss alone is {self.reference}, the tolerance {tolerance}, and {len(weights)} tensors are "
                "trained: give a loss that is positive and finite, a tolerance of at least 0, and a model to train."
            )
        self.limit = (1 + tolerance) * self.reference
        self.transfer = math.inf

    def look(self, *, transfer: float) -> float:
        """Measure the model alone, and keep its weights if it may be published and holds better than what is kept.

        Args:
            transfer: how much of the skill merges have, lower is better: that of `HardeningLoss.metrics`, or your own.
                NaN, for a model no better than guessing, is not kept.

        Returns:
            The loss alone.
        """
        level = self._alone()
        if level <= self.limit and transfer <= self.transfer:
            self.transfer = transfer
            self._kept.take()
        return level

    def restore(self) -> bool:
        """Put the kept weights into the model; returns False, and changes nothing, if none was good enough alone."""
        return self._kept.restore()
