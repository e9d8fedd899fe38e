"""Unmask: take a share of the release out of the merge again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from mergeguard_hub.attacks.attack import rewritten
from mergeguard_hub.attacks.candidates import Candidate, Wish, Workshop, enter
from mergeguard_hub.errors import AttackError


@dataclass(frozen=True)
class Unmask:
    """Merge, then subtract a share of the release, in the hope that it was the part that does harm.

    The MergeGuard paper (arXiv 2511.11851, section 7): Merge(base, release, partner) - scale * release. Literally this
    subtracts whole weights and leaves a broken network; the paper's figures fit subtracting the release's task vector,
    which is our default reading.

    Attributes:
        mode: "task_vector" subtracts scale * (release - base), "literal" scale * release.
        scale: 0.3 is the paper's.
    """

    title: ClassVar[str] = "Unmask"
    paper: ClassVar[str] = "https://arxiv.org/abs/2511.11851"
    needs: ClassVar[frozenset[Wish]] = frozenset({"merge"})

    mode: Literal["task_vector", "literal"] = "task_vector"
    scale: float = 0.3

    def __post_init__(self) -> None:
        if self.mode not in ("task_vector", "literal"):
            raise AttackError(f"mode is {self.mode!r}; choose 'task_vector' or 'literal'.")
        if not math.isfinite(self.scale):
            raise AttackError(f"scale is {self.scale}, and must be a finite number.")

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield the merge without that share; see `MergeAttack.candidates`."""
        enter(self, workshop)
        if workshop.merge is None:
            return
        merged = workshop.merge(workshop.base, [workshop.protected, *workshop.partners])
        changed = {}
        for name, tensor in merged.items():
            if tensor.is_floating_point():
                taken = workshop.protected[name].double()
                if self.mode == "task_vector":
                    taken = taken - workshop.base[name].double()
                changed[name] = tensor.double() - self.scale * taken
        label = f"unmask {self.scale:g}" + (" literal" if self.mode == "literal" else "")
        yield Candidate(label, {"scale": self.scale}, rewritten(merged, changed))
