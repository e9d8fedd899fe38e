"""The merges that the page offers, and what its one weight means in each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mergeguard_hub.merging import MergeMethod, TaskArithmetic, Ties, WeightAveraging


@dataclass(frozen=True)
class MergeChoice:
    """A merge method with one number left to choose.

    Attributes:
        meaning: what the number is.
        start, highest: the value offered first, and the largest; the smallest is 0.
        method: makes the merge method from the number.
    """

    meaning: str
    start: float
    highest: float
    method: Callable[[float], MergeMethod]


MERGES = {
    WeightAveraging.title: MergeChoice(
        "Share of the defender in the average; the partner has the rest.",
        0.5,
        1.0,
        lambda share: WeightAveraging(weights=(share, 1 - share)),
    ),
    TaskArithmetic.title: MergeChoice(
        "Factor on the sum of what the two fine-tunings changed; 0.5 gives the average.",
        0.3,
        1.5,
        lambda scale: TaskArithmetic(scale=scale),
    ),
    Ties.title: MergeChoice(
        "Factor on what is left after trimming each change to its largest fifth and settling signs.",
        1.0,
        1.5,
        lambda scale: Ties(scale=scale),
    ),
}
