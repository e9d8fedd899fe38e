"""What a stage is: frozen settings and one function from a space and a secret stream to an action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mergeguard_hub.architecture.action import Action
from mergeguard_hub.architecture.space import Claim, Kind, Space
from mergeguard_hub.protection.headroom import block_of
from mergeguard_hub.protection.stream import Stream

MAX_CONDITION: dict[str, float] = {"BF16": 256.0, "F16": 16.0, "F32": 1e3, "F64": 1e3}


@dataclass(frozen=True)
class Facts:
    """What stages know of the weights. All of it is in the release, so that unlocking draws the same actions.

    Attributes:
        dtypes: tensor name -> safetensors dtype code.
        bounds: block (see `block_of`) -> largest exponent that keeps its weights exact; missing means no limit.
        assignments: space name -> permutation [size] computed from weights, for stages that do not draw theirs.
        salt: public text that differs between models, so that two of them under one key do not merge with each other.
    """

    dtypes: Mapping[str, str]
    bounds: Mapping[str, int] = field(default_factory=dict)
    assignments: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    salt: str = ""

    def bound(self, space: Space, wanted: int) -> int:
        """Return the largest exponent that may be drawn.

        Args:
            space: where it will act.
            wanted: what the stage asks for.
        """
        return min(wanted, self.bounds.get(block_of(space), wanted))

    def condition(self, space: Space) -> float:
        """Return the largest condition number that the coarsest dtype of a space's tensors takes unharmed.

        Source: measured error of W_q^T W_k after one rounding (docs/symmetries.md).

        Args:
            space: where the matrix will act.
        """
        return min(MAX_CONDITION.get(self.dtypes[port.tensor], 2.0) for port in space.ports)


@runtime_checkable
class Stage(Protocol):
    """One step of a recipe. Implementations are frozen dataclasses whose fields are public settings."""

    kinds: ClassVar[frozenset[Kind]]
    needs: ClassVar[frozenset[Claim]]

    @property
    def exact(self) -> bool:
        """Whether stored weights take part without any rounding."""
        ...

    def draw(self, space: Space, stream: Stream, facts: Facts) -> Action | None:
        """Return the action on one space, or None to leave it alone.

        Args:
            space: of one of `kinds`, with at least one claim of `needs`.
            stream: generator of this stage and space; the same numbers whenever the release is unlocked.
            facts: what may be known of the weights.
        """
        ...
