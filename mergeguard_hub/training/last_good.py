"""The last weights that had a finite loss, for trainings that a too strong penalty drives to infinity."""

from __future__ import annotations

import math

from torch import Tensor, nn

from mergeguard_hub.errors import DivergedError
from mergeguard_hub.training.chance import mean_over_processes
from mergeguard_hub.training.snapshot import Snapshot


class LastGood:
    """Keeps a copy of the trained weights as of the last finite loss, and puts it back when a loss is not finite.

    `HardeningLoss` does this by itself; this is for stage 1 without it. Memory: one copy of the trained weights.

    Args:
        model: what is trained.
        cause: what is likely to blame, for the message, for example "alpha 0.01".

    Example:
        good = LastGood(model, cause="alpha 0.01")
        for batch in batches:
            loss = model(**batch).loss
            good.check(loss)
    """

    def __init__(self, model: nn.Module, *, cause: str) -> None:
        self._cause = cause
        self._kept = Snapshot(model, [weight for weight in model.parameters() if weight.requires_grad])

    def check(self, loss: Tensor) -> None:
        """Look at the loss of the weights as they are, before the optimizer moves them.

        Raises:
            DivergedError: it is infinite or NaN; the weights are then the last with a finite loss, if there were any.
        """
        level = mean_over_processes(loss)
        if math.isfinite(level):
            self._kept.take()
            return
        known = self._kept.restore()
        kept = ". The weights are those of the step before, the last with a finite loss" if known else ""
        raise DivergedError(
            f"the loss is {level}{kept}. Either the learning rate is too high, or {self._cause} is too large; lower "
            "one of them and start again."
        )
