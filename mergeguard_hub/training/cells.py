"""Where off nominal a release is made bad: the line of scales of Trap², and the plane of merges with a partner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch

from mergeguard_hub.errors import TrainingError

Emphasis = Literal["one", "inverse", "inverse_root"]


@dataclass(frozen=True)
class Cell:
    """A merge: base + scale * (own task vector) + weight * (a partner's task vector).

    Attributes:
        scale: factor on the own task vector; 1 with weight 0 is the model itself.
        weight: factor on the partner's.
        partner: its number among the partners given, None for none.
    """

    scale: float
    weight: float = 0.0
    partner: int | None = None


class Objective(Protocol):
    """What is drawn, and how much it counts."""

    title: ClassVar[str]
    paper: ClassVar[str]

    @property
    def strength(self) -> float:
        """The paper's lambda: how much the loss off nominal counts against the loss of the model itself."""

    def draw(self, generator: torch.Generator, *, partners: int, losses: Mapping[str, float], cap: float) -> Cell:
        """Draw a cell.

        Args:
            generator: the only source of chance.
            partners: how many there are.
            losses: region -> running mean of the loss there, of the regions seen so far.
            cap: loss from which on a cell is bad enough.
        """

    def region(self, cell: Cell) -> str:
        """Return the name of the region that a cell's loss is remembered under."""

    def emphasis(self, cell: Cell) -> float:
        """Return w(s), the weight of a cell in the expectation."""


@dataclass(frozen=True)
class Trap2:
    """Trap²: the model is good at scale 1 and bad where its task vector is scaled by anything else.

    L(1) - strength * E_s[w(s) * L(s)], s uniform in [smallest, 1 - gap] and [1 + gap, largest]; arXiv 2601.21898, with
    one drawn scale per batch, as in the authors' code. Scaling stands in for merging: merges that keep our task vector
    at scale 1, such as adding a little of a partner to our model, are not trained against (see `Hardened`).

    Everybody who scales the release on purpose is hit as well: the strength slider of an image adapter, PEFT's
    `set_scale`, `cross_attention_kwargs={"scale": 0.8}`. Say so on the card of an adapter.

    Attributes:
        strength: lambda. 0.01 is the default of the authors' code; its README has 0.001 for vision adapters and 0.005
            for full fine-tuning.
        smallest, largest: range of the scales.
        gap: delta, half the width of the gap around 1.
        weighting: w(s): "inverse" is 1 / s, "inverse_root" is 1 / sqrt(s), "one" is 1.
    """

    title: ClassVar[str] = "Trap²"
    paper: ClassVar[str] = "https://arxiv.org/abs/2601.21898"

    strength: float = 0.01
    smallest: float = 0.05
    largest: float = 2.0
    gap: float = 0.05
    weighting: Emphasis = "inverse"

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        if not (0 < self.smallest <= 1 - self.gap < 1 < 1 + self.gap <= self.largest < math.inf):
            raise TrainingError(
                f"scales from {self.smallest} to {self.largest} with a gap of {self.gap} around 1 leave nothing to "
                "draw on one side, or reach 0; the paper's are 0.05, 2 and 0.05."
            )
        if self.weighting not in ("one", "inverse", "inverse_root"):
            raise TrainingError(f"weighting is {self.weighting!r}; give 'inverse', 'inverse_root' or 'one'.")

    def draw(self, generator: torch.Generator, *, partners: int, losses: Mapping[str, float], cap: float) -> Cell:
        """Draw a scale; partners and losses are not looked at."""
        return Cell(_outside_gap(_uniform(generator), self.smallest, self.largest, self.gap))

    def region(self, cell: Cell) -> str:
        """Return the quarter that the scale lies in."""
        return f"scale {_bin(cell.scale)}"

    def emphasis(self, cell: Cell) -> float:
        """Return w(s)."""
        powers = {"one": 0.0, "inverse": -1.0, "inverse_root": -0.5}
        return float(cell.scale ** powers[self.weighting])


@dataclass(frozen=True)
class Hardened:
    """Ours: the model is good alone and bad in every merge with a partner, wherever on the plane of coefficients.

    L(1) - strength * E[min(L(a, b), cap)] over cells base + a * (own task vector) + b * (a partner's), with surrogate
    partners in place of those that a free-rider will have. Without partners it is Trap² with w = 1.

    Attributes:
        strength: lambda; 1 is ours, with the cap that `HardeningLoss` sets.
        largest: a is drawn from [0.1, largest], b from [0.1, 1].
        alone: fraction of the cells without a partner: b = 0, and a outside [1 - gap, 1 + gap].
        rebasing: fraction of the cells with a = 1: our whole model with a little of a partner.
        towards_worst: fraction of the other cells that are drawn from regions in proportion to how far their loss is
            below the cap, regions not seen yet first; the rest is uniform.
    """

    title: ClassVar[str] = "Hardened"
    paper: ClassVar[str] = "https://arxiv.org/abs/2601.21898"  # what it starts from

    strength: float = 1.0
    largest: float = 2.0
    alone: float = 0.2
    rebasing: float = 0.25
    towards_worst: float = 0.5

    _GAP: ClassVar[float] = 0.2
    _LEAST: ClassVar[float] = 0.1

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        if not 1 + self._GAP <= self.largest < math.inf:
            raise TrainingError(f"largest is {self.largest}, and must be at least {1 + self._GAP}; 2 is our choice.")
        parts = (self.alone, self.rebasing, self.towards_worst)
        if min(parts) < 0 or max(parts) > 1 or self.alone + self.rebasing > 1:
            raise TrainingError(f"alone, rebasing and towards_worst are {parts}: fractions, the first two at most 1.")

    def draw(self, generator: torch.Generator, *, partners: int, losses: Mapping[str, float], cap: float) -> Cell:
        """Draw a cell; see `Objective.draw`."""
        kind, first, second = (_uniform(generator) for _ in range(3))
        if not partners or kind < self.alone:
            return Cell(_outside_gap(first, self._LEAST, self.largest, self._GAP))
        partner = min(int(_uniform(generator) * partners), partners - 1)
        weight = self._LEAST + second * (1 - self._LEAST)
        if kind < self.alone + self.rebasing:
            return Cell(1.0, weight, partner)
        if _uniform(generator) >= self.towards_worst:
            return Cell(self._LEAST + first * (self.largest - self._LEAST), weight, partner)
        a, b = self._worst(generator, losses, cap)
        return Cell(self._within(a, first, self.largest), self._within(b, second, 1.0), partner)

    def region(self, cell: Cell) -> str:
        """Return which quarters the two coefficients lie in."""
        return f"alone {_bin(cell.scale)}" if cell.partner is None else f"{_bin(cell.scale)} {_bin(cell.weight)}"

    def emphasis(self, cell: Cell) -> float:
        """Return 1: every cell counts the same."""
        return 1.0

    def _worst(self, generator: torch.Generator, losses: Mapping[str, float], cap: float) -> tuple[int, int]:
        """Draw the quarters of a region in proportion to how far its loss is below the cap."""
        regions = [(a, b) for a in range(math.ceil(self.largest / _WIDTH)) for b in range(math.ceil(1 / _WIDTH))]
        missing = [max(cap - losses.get(f"{a} {b}", 0.0), 0.0) for a, b in regions]
        if sum(missing) == 0:
            return regions[min(int(_uniform(generator) * len(regions)), len(regions) - 1)]
        chosen = torch.multinomial(torch.tensor(missing, dtype=torch.float64), 1, generator=generator)
        return regions[int(chosen)]

    def _within(self, quarter: int, part: float, most: float) -> float:
        low, high = max(quarter * _WIDTH, self._LEAST), min((quarter + 1) * _WIDTH, most)
        return low + part * (high - low)


_WIDTH = 0.25  # of a region in either coefficient, our choice


def _bin(value: float) -> int:
    return int(value / _WIDTH)


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def _outside_gap(part: float, smallest: float, largest: float, gap: float) -> float:
    """Return the point at `part` of the way through [smallest, 1 - gap] and [1 + gap, largest]."""
    below = 1 - gap - smallest
    way = part * (below + largest - 1 - gap)
    return smallest + way if way < below else 1 + gap + (way - below)


def _check_strength(strength: float) -> None:
    if not (math.isfinite(strength) and strength >= 0):
        raise TrainingError(f"strength (lambda) is {strength}, and must be finite and not negative.")
