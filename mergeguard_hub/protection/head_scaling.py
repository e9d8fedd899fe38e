"""PaRaMS's random head scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from mergeguard_hub.architecture.action import Monomial
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class HeadScaling:
    """Multiply every key and value dimension of a head by a random factor; queries and outputs take it back.

    Source: PaRaMS (ICCV 2025, arXiv 2503.07661), multi-head scaling: one factor per dimension, U(0.05, 20) in its
    scripts. The paper does not say what happens under rotary embeddings, where a factor per dimension breaks the
    model; our reading is one factor per rotated pair. Without rotary embeddings this is the literal form. One
    rounding per weight. It does not hide which factor was used: row norms against the base model show it.

    Attributes:
        low: smallest factor, positive.
        high: largest factor.
        distribution: "uniform" as in the paper; "log_uniform" is symmetric about 1 where low * high = 1 (our choice).
    """

    low: float = 0.05
    high: float = 20.0
    distribution: Literal["uniform", "log_uniform"] = "uniform"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"query_key", "value_output"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"scale"})

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise RecipeError(
                f"HeadScaling: the range is {self.low} to {self.high}; it must be positive, finite and ascending."
            )
        if self.distribution not in ("uniform", "log_uniform"):
            raise RecipeError(f"HeadScaling: distribution is {self.distribution!r}; choose 'uniform' or 'log_uniform'.")

    @property
    def exact(self) -> bool:
        """Arbitrary factors round once."""
        return False

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Monomial | None:
        """Return the factors of one head."""
        if "scale" not in space.claims:
            return None
        units = space.size if space.pairs is None else len(space.pairs)
        position = stream.uniform(units)
        if self.distribution == "uniform":
            factors = self.low + (self.high - self.low) * position
        else:
            factors = self.low * (self.high / self.low) ** position
        scales = np.ones(space.size)
        if space.pairs is None:
            scales[:] = factors
        else:
            scales[space.pairs] = factors[:, None]
        return Monomial(np.arange(space.size, dtype=np.int64), np.ones(space.size), scales)
