"""The merges that the page offers, and what its one weight means in each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mergeguard_hub.merging import DareTies, MergeMethod, Slerp, TaskArithmetic, Ties, WeightAveraging


@dataclass(frozen=True)
class MergeChoice:
    """A merge method with one number left to choose.

    Attributes:
        meaning: what the number is.
        start, highest: the value offered first, and the largest; the smallest is 0.
        method: makes the merge method from the number.
        flag: the option of `mergeguard merge` that sets the number.
    """

    meaning: str
    start: float
    highest: float
    method: Callable[[float], MergeMethod]
    flag: Callable[[float], str]


MERGES = {
    WeightAveraging.title: MergeChoice(
        "Share of the defender in the average; the partner has the rest.",
        0.5,
        1.0,
        lambda share: WeightAveraging(weights=(share, 1 - share)),
        lambda share: f"--method weight_averaging --weights {share:g} --weights {1 - share:g}",
    ),
    TaskArithmetic.title: MergeChoice(
        "Factor on the sum of what the two fine-tunings changed; 0.5 gives the average.",
        0.4,
        1.5,
        lambda scale: TaskArithmetic(scale=scale),
        lambda scale: f"--method task_arithmetic --scale {scale:g}",
    ),
    Ties.title: MergeChoice(
        "Factor on what is left after trimming each change to its largest fifth and settling signs.",
        1.0,
        1.5,
        lambda scale: Ties(scale=scale),
        lambda scale: f"--method ties --scale {scale:g}",
    ),
    DareTies.title: MergeChoice(
        "Factor on what is left after dropping a fifth of each change at random and settling signs.",
        1.0,
        1.5,
        lambda scale: DareTies(scale=scale),
        lambda scale: f"--method dare_ties --scale {scale:g}",
    ),
    Slerp.title: MergeChoice(
        "Where on the arc between the two: 0 is the defender, 1 the partner.",
        0.5,
        1.0,
        lambda t: Slerp(t=t),
        lambda t: f"--method slerp --t {t:g}",
    ),
}
