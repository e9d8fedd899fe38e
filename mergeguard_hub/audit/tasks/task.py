"""What a task and a score are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mergeguard_hub.errors import TaskError

Subject = TypeVar("Subject", contravariant=True)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Score:
    """How well a model did a task: one verdict per item, so that two models can be compared item by item.

    Attributes:
        verdicts: a fraction in [0, 1] for each item, in the task's order; 1 is right.

    Raises:
        TaskError: there is no verdict, or one lies outside [0, 1].

    Example:
        >>> score = Score((1.0, 1.0, 0.0, 1.0))
        >>> score.value, score.items, round(score.standard_error, 3)
        (0.75, 4, 0.217)
    """

    verdicts: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.verdicts:
            raise TaskError("A score has no verdicts: the task had no items; give it at least one.")
        for position, verdict in enumerate(self.verdicts):
            if not 0 <= verdict <= 1:  # also true of NaN
                raise TaskError(
                    f"The verdict on item {position} is {verdict}, and must lie in [0, 1]: the task's judge or scorer "
                    "probably counts points; let it return a fraction."
                )

    @property
    def value(self) -> float:
        """Return the mean of the verdicts, a fraction in [0, 1]."""
        return math.fsum(self.verdicts) / self.items

    @property
    def items(self) -> int:
        """Return the number of items."""
        return len(self.verdicts)

    @property
    def standard_error(self) -> float:
        """Return the standard error of `value` over the choice of items, as a fraction.

        sqrt(v (1 - v) / n) where every verdict is 0 or 1, and for a single item; otherwise the sample standard
        deviation over sqrt(n). It does not say how much another training run, seed or prompt would change. It is 0
        where all verdicts are equal, which with few items promises too much.
        """
        if self.items == 1 or set(self.verdicts) <= {0.0, 1.0}:
            return math.sqrt(self.value * (1 - self.value) / self.items)
        squares = math.fsum((verdict - self.value) ** 2 for verdict in self.verdicts)
        return math.sqrt(squares / (self.items - 1) / self.items)


class Task(Protocol[Subject]):
    """Data and a metric: puts the same items to every model, in the same order, and judges them alike.

    `Subject` is what is judged: a `LanguageModel`, an image classifier, a diffusion pipeline. Any object with these
    members is a task; there is nothing to inherit from.
    """

    @property
    def name(self) -> str:
        """Return a short name, for files and tables."""
        ...

    @property
    def title(self) -> str:
        """Return the name for readers."""
        ...

    @property
    def metric(self) -> str:
        """Return what a score counts: "exact match", "pass@1", "win rate", "accuracy"."""
        ...

    @property
    def chance(self) -> float:
        """Return the score that guessing is expected to get; 0 where guessing gets nowhere."""
        ...

    def score(self, subject: Subject, *, limit: int | None = None) -> Score:
        """Put the task to a model.

        Args:
            subject: the model, left as it was found.
            limit: only the first so many items; None: all.

        Raises:
            TaskError: the model cannot do this kind of task, or `limit` is below 1.
        """
        ...


def first(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Return the first `limit` items, or all of them for None.

    Raises:
        TaskError: `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise TaskError(f"limit is {limit}, and must be at least 1; leave it out to use all {len(items)} items.")
    return items if limit is None else items[:limit]
