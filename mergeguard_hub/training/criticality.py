"""Which layers hold the task: the ranking of MergeGuard's stage 2, and two cheaper ones that come near it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.layers import Layers


@dataclass(frozen=True)
class Criticality:
    """A ranking of layers by what the model loses without each.

    Attributes:
        drops: layer -> loss of the score when the layer is masked; larger is more critical. Its unit is the score's, or
            none for the ranking without data.
        layers: layer -> names of its tensors.
        method: how it was found: "exact", "first order", "refined" or "data-free".
        forwards: what it cost, in forward passes of the whole model over all examples; a backward pass counts as two.
    """

    drops: Mapping[str, float]
    layers: Layers
    method: str
    forwards: float

    def __post_init__(self) -> None:
        if self.drops.keys() != self.layers.keys():
            odd = sorted(self.drops.keys() ^ self.layers.keys())
            raise TrainingError(f"drops and layers name different layers, for example {odd[0]!r}; give one drop each.")
        bad = [layer for layer, drop in self.drops.items() if math.isnan(drop)]
        if bad:
            raise TrainingError(f"the drop of layer {bad[0]!r} is NaN, so it cannot be ranked; its score broke down.")

    @property
    def ranked(self) -> tuple[str, ...]:
        """All layers, the most critical first; equal ones in the model's order."""
        return tuple(sorted(self.drops, key=lambda layer: -self.drops[layer]))

    def critical(self, share: float = 0.1) -> tuple[str, ...]:
        """Return the most critical layers: a share of all, rounded up.

        Args:
            share: k' / 100 of the paper; 0.1 is the paper's.

        Example:
            >>> Criticality({"a": 0.1, "b": 0.3}, {"a": ("a",), "b": ("b",)}, "exact", 3.0).critical(0.5)
            ('b',)
        """
        return self.ranked[: _rounded_up(share, len(self.drops))]

    def tensors(self, share: float = 0.1) -> frozenset[str]:
        """Return the names of the tensors in the most critical layers."""
        return frozenset(name for layer in self.critical(share) for name in self.layers[layer])

    def overlap(self, other: Criticality, share: float = 0.1) -> float:
        """Return the fraction of the critical layers that another ranking of the same layers also finds, in [0, 1].

        Raises:
            TrainingError: the two rank different layers.
        """
        if self.drops.keys() != other.drops.keys():
            odd = sorted(self.drops.keys() ^ other.drops.keys())
            raise TrainingError(f"only one of the rankings has the layer {odd[0]!r}; rank the same layers.")
        own = set(self.critical(share))
        return len(own & set(other.critical(share))) / len(own) if own else 1.0

    def write(self, file: str | Path) -> None:
        """Write the ranking to a JSON file, for `read` and for `mergeguard negate --ranking`."""
        Path(file).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: str | Path) -> Criticality:
        """Read a ranking that `write` wrote.

        Raises:
            TrainingError: the file is missing, or holds no ranking.
        """
        try:
            found = json.loads(Path(file).read_text(encoding="utf-8"))
            layers = {str(layer): tuple(names) for layer, names in found["layers"].items()}
            drops = {str(layer): float(drop) for layer, drop in found["drops"].items()}
            return cls(drops, layers, str(found["method"]), float(found["forwards"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise TrainingError(
                f"{file} holds no ranking of layers ({type(error).__name__}: {error}): write it with "
                "`on_disk(refine(model, base, batches), model, folder).write(FILE)`."
            ) from error


def _rounded_up(share: float, total: int) -> int:
    return math.ceil(round(share * total, 9))
