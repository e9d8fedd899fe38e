"""What a merge keeps of two skills: with the defender as it was trained, as a control, and as it was released."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mergeguard_hub.audit.tasks import Score
from mergeguard_hub.merging import MergeMethod, TaskArithmetic, Ties, WeightAveraging

Weights = Mapping[str, Tensor]

METHODS: dict[str, MergeMethod] = {
    "average": WeightAveraging(),
    "task arithmetic 0.4": TaskArithmetic(scale=0.4),
    "task arithmetic 0.6": TaskArithmetic(scale=0.6),
    "task arithmetic 0.8": TaskArithmetic(scale=0.8),
    "TIES": Ties(),
}
"""Ordinary merges of two fine-tunes; with two models, task arithmetic at 0.5 is the average."""


@dataclass(frozen=True)
class Pair:
    """A defender whose release is merged and the free-rider's own fine-tune; each one's skill is a task."""

    defender: str
    partner: str


def merge_rows(
    pairs: Sequence[Pair],
    *,
    weights_of: Callable[[str], Weights],
    release_of: Callable[[str], Weights],
    score: Callable[[Weights, Pair], Mapping[str, Score]],
    methods: Mapping[str, MergeMethod] = METHODS,
) -> Iterator[dict[str, Any]]:
    """Yield a row for every pair, method and kind of defender, the control first.

    Args:
        pairs: who is merged with whom.
        weights_of: the tensors of a model as it was trained, by the model's name; also of "base".
        release_of: the tensors of a model's protected release.
        score: measures merged tensors on the tasks of a pair.
        methods: by the name that the rows carry.

    Yields:
        {"defender", "partner", "method", "protected": bool, "scores": {task: record of its score}}.
    """
    base = weights_of("base")
    for pair in pairs:
        own, released, other = weights_of(pair.defender), release_of(pair.defender), weights_of(pair.partner)
        for title, method in methods.items():
            for protected in (False, True):
                merged = method.merge(base, [released if protected else own, other])
                scores = {task: record(found) for task, found in score(merged, pair).items()}
                yield {
                    "defender": pair.defender,
                    "partner": pair.partner,
                    "method": title,
                    "protected": protected,
                    "scores": scores,
                }


def record(score: Score) -> dict[str, float]:
    """Return a score as it stands in results.json: fractions in [0, 1] and the number of items."""
    return {
        "value": round(score.value, 4),
        "items": score.items,
        "standard_error": round(score.standard_error, 4),
    }


def transfer(merged: float, *, base: float, alone: float) -> float:
    """Return the part of a skill that a merge keeps: 0 is the base's, 1 is the fine-tuned model's.

    All three are scores on the same items: of the merge, of the base and of the fine-tuned model.
    """
    return (merged - base) / (alone - base)
