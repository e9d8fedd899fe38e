"""The line through two models: a merge path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from mergeguard_hub.attacks import Candidate, Workshop
from mergeguard_hub.attacks.candidates import Wish, combine, enter


@dataclass(frozen=True)
class MergePath:
    """Merges partner + lambda * (release - partner): the partner at 0, the release at 1, and beyond both.

    Attributes:
        at: values of lambda.
    """

    title: ClassVar[str] = "Merge path"
    paper: ClassVar[str] = ""
    needs: ClassVar[frozenset[Wish]] = frozenset()

    at: tuple[float, ...] = (-0.5, -0.25, 0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5)

    def candidates(self, workshop: Workshop) -> Iterator[Candidate]:
        """Yield one model per value; see `MergeAttack.candidates`."""
        enter(self, workshop)
        for share in self.at:
            weights = combine(workshop, lambda name, share=share: (share, 1 - share))  # type: ignore[misc]
            yield Candidate(f"lambda {share:g}", {"lambda": share}, weights)
