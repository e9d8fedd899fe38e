"""MergeLock's invertible pairs on query-key and value-output."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from mergeguard_hub.architecture.action import Action, Mix
from mergeguard_hub.architecture.rotary import rotations
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.errors import RecipeError
from mergeguard_hub.protection.draws import draw_moves, log_uniform, require_exponent
from mergeguard_hub.protection.stage import Facts
from mergeguard_hub.protection.stream import Stream


@dataclass(frozen=True)
class HeadMix:
    """Mix the dimensions of each head by a secret matrix between keys and queries, and between values and outputs.

    Source: MergeLock (arXiv 2509.01548), composed of random, permutation and scaling matrices; its distribution and
    condition numbers are not published, ours are below. Under rotary embeddings only one rotation and factor per
    rotated pair keeps the function, with norms on queries and keys only quarter turns, signs and factors on the
    norms' gains; values and outputs mix freely always. Least squares against the base model undoes every kind,
    whatever the matrices.

    Attributes:
        kind: "exact" signed permutation times powers of two: never rounds. "orthogonal" a Haar-random rotation.
            "invertible" permutation, diagonal and rotation, of condition number at most `max_condition`.
        max_exponent: powers of two of "exact", 2^-n .. 2^n.
        max_condition: bound for "invertible"; None takes the dtype's: 256 for bfloat16, 16 for float16, 1000 for
            float32. Factors come after the rotation, so each stored row is rounded relative to its own size and
            conditioning costs nothing (docs/symmetries.md has the measurement); the bounds keep weights inside the
            dtype's range.
    """

    kind: Literal["exact", "orthogonal", "invertible"] = "exact"
    max_exponent: int = 4
    max_condition: float | None = None
    kinds: ClassVar[frozenset[Kind]] = frozenset({"query_key", "value_output"})
    needs: ClassVar[frozenset[Claim]] = frozenset({"permute", "sign", "scale", "mix"})

    def __post_init__(self) -> None:
        if self.kind not in ("exact", "orthogonal", "invertible"):
            raise RecipeError(f"HeadMix: kind is {self.kind!r}; choose 'exact', 'orthogonal' or 'invertible'.")
        require_exponent("HeadMix", self.max_exponent)
        if self.max_condition is not None and not 1 <= self.max_condition < math.inf:
            raise RecipeError(
                f"HeadMix: max_condition is {self.max_condition}; a condition number is finite and at least 1."
            )

    @property
    def exact(self) -> bool:
        """Only the kind "exact" never rounds."""
        return self.kind == "exact"

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Action:
        """Return the matrix of one head; where the space allows no mixing, its exact counterpart."""
        if self.kind == "exact" or "mix" not in space.claims:
            return draw_moves(space, stream, permute=True, sign=True, bound=facts.bound(space, self.max_exponent))
        condition = 1.0
        if self.kind == "invertible":
            condition = self.max_condition if self.max_condition is not None else facts.condition(space)
        if space.pairs is not None:
            angles = 2 * np.pi * stream.uniform(len(space.pairs))
            return Mix(rotations(space, angles, log_uniform(stream, len(space.pairs), condition)))
        rotation = stream.orthogonal(space.size)
        scaled = log_uniform(stream, space.size, condition)[:, None] * rotation
        return Mix(np.asarray(scaled[stream.permutation(space.size)]))
