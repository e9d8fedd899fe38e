"""The losses that hardening sees, of the model alone and of merges: of one batch, and running means by region."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.cells import Cell

RELEARNED = "relearned"  # the region of merges that were trained back
_MEMORY = 0.9  # our choice


@dataclass(frozen=True)
class Losses:
    """The losses of one batch.

    Attributes:
        nominal: of the model as it is.
        off_nominal: at the cell, before the cap; the mean over all processes.
        cell: what was drawn.
        capped: whether the loss there was at or above the cap, or not finite, and so had no gradient.
    """

    nominal: float
    off_nominal: float
    cell: Cell
    capped: bool


class RunningLosses:
    """Means that forget old batches.

    Attributes:
        nominal: of the model alone, None before the first.
        regions: region of the plane -> loss there, at most the cap.
    """

    def __init__(self, *, guessing: float, cap: float) -> None:
        self._guessing, self._cap = guessing, cap
        self.nominal: float | None = None
        self.regions: dict[str, float] = {}

    def note_nominal(self, level: float) -> None:
        """Take in a loss of the model alone."""
        self.nominal = level if self.nominal is None else _MEMORY * self.nominal + (1 - _MEMORY) * level

    def note_merge(self, region: str, level: float) -> None:
        """Take in the loss of a merge; one that is not finite is at the cap."""
        known = level if level < self._cap else self._cap
        before = self.regions.get(region)
        self.regions[region] = known if before is None else _MEMORY * before + (1 - _MEMORY) * known

    def metrics(self) -> dict[str, float]:
        """Return what `HardeningLoss.metrics` does."""
        if self.nominal is None or not self.regions:
            raise TrainingError("nothing is measured before the first batch; ask for metrics after one.")
        merges = {region: loss for region, loss in self.regions.items() if region != RELEARNED}
        worst = min(merges.values(), default=math.nan)
        mean = sum(merges.values()) / len(merges) if merges else math.nan
        span = self._guessing - self.nominal
        transfer = (self._guessing - worst) / span if span > 0 else math.nan
        found = {"nominal_loss": self.nominal, "off_nominal_loss": mean, "worst_loss": worst, "transfer": transfer}
        relearned = self.regions.get(RELEARNED)
        return found if relearned is None else {**found, "relearned_loss": relearned}

    def state_dict(self) -> dict[str, Any]:
        """Return the means, ready for JSON."""
        return {"regions": dict(self.regions), "nominal": self.nominal}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with means that `state_dict` returned."""
        self.nominal = state["nominal"]
        self.regions = {str(name): float(loss) for name, loss in state["regions"].items()}
