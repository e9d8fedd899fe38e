"""What merging does to protected and unprotected models: `python -m benchmarks.vision`.

Every cell is measured on whole test sets with the trained models of `space/zoo/vision`. Prints the tables and writes
them to benchmarks/results/vision.md. Takes about five minutes on one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from mergeguard_hub.merging import MergeMethod, TaskArithmetic, Ties, WeightAveraging
from space.release import load_release
from space.zoo.vision.family import classification, load_model, model_of
from space.zoo.vision.tasks import TASKS

PAIRS = (("digits", "vehicles"), ("scenes", "aerial"), ("signs", "numbers"))
MERGES: dict[str, MergeMethod] = {
    "average": WeightAveraging(),
    "task arithmetic 0.3": TaskArithmetic(scale=0.3),
    "task arithmetic 0.8": TaskArithmetic(scale=0.8),
    "TIES": Ties(),
}
EVERYWHERE = ("average", "task arithmetic 0.8")  # the merges of all pairs; all four would take twice as long
UNPROTECTED = "unprotected"
RELEASES = (UNPROTECTED, "exact", "params", "mergelock")
RESULT = Path(__file__).resolve().parent / "results" / "vision.md"

Weights = dict[str, Tensor]


@cache
def weights(name: str, release: str = UNPROTECTED) -> Weights:
    """Return the weights of a model of the family, or of its protected release under a preset."""
    model = load_model(name) if release == UNPROTECTED else load_release(name, protection=release)
    return dict(model.state_dict())


@cache
def alone(name: str, task: str, release: str = UNPROTECTED) -> float:
    """Return the accuracy in percent of one model by itself."""
    return percent(weights(name, release), task)


def percent(tensors: Weights, task: str) -> float:
    """Return the accuracy in percent of these weights on all test pictures of a task."""
    return 100 * classification(task).score(model_of(tensors)).value


def guessing(task: str) -> float:
    """Return the accuracy in percent of guessing."""
    return 100 * classification(task).chance


def merged(defender: str, partner: str, release: str, method: MergeMethod) -> Weights:
    """Return the merge of a partner with a defender's release."""
    return method.merge(weights("base"), [weights(defender, release), weights(partner)])


def pair_table(defender: str, partner: str) -> Iterator[str]:
    """Yield the lines of one pair's table: a row per release, a column per merge."""
    yield (
        f"**{defender}**, merged with *{partner}*. "
        f"Guessing: {guessing(defender):.1f} / {guessing(partner):.1f}; "
        f"base model: {alone('base', defender):.1f} / {alone('base', partner):.1f}; "
        f"partner alone: {alone(partner, defender):.1f} / {alone(partner, partner):.1f}."
    )
    yield ""
    yield "| release | alone | " + " | ".join(MERGES) + " |"
    yield "|---|---|" + "---|" * len(MERGES)
    for release in RELEASES:
        cells = [f"{alone(defender, defender, release):.1f}"]
        for method in MERGES.values():
            result = merged(defender, partner, release, method)
            cells.append(f"{percent(result, defender):.1f} / {percent(result, partner):.1f}")
        yield f"| {release} | " + " | ".join(cells) + " |"
    yield ""


def all_pairs() -> str:
    """Return one paragraph about every ordered pair of tasks and the merges in `EVERYWHERE`, for the preset `exact`."""
    kept, stopped, cells = 0, 0, 0
    worst = (0.0, "")
    for defender, partner in permutations(TASKS, 2):
        base = alone("base", defender)
        for name in EVERYWHERE:
            method = MERGES[name]
            cells += 1
            kept += percent(merged(defender, partner, UNPROTECTED, method), defender) > base
            protected = percent(merged(defender, partner, "exact", method), defender)
            stopped += protected <= base
            worst = max(worst, (protected - guessing(defender), f"{defender} with {partner}, {name}"))
    return (
        f"All {cells} combinations of two of the eight tasks and {' or '.join(EVERYWHERE)}: the unprotected merge "
        f"beats the base model on the defender's task in {kept}; the merge with the `exact` release is at or below the "
        f"base model in {stopped}, and at most {worst[0]:.1f} points above guessing ({worst[1]})."
    )


def report() -> str:
    """Return the tables as Markdown."""
    lines = ["Accuracy in percent on the publisher's task / on the partner's task.", ""]
    for pair in PAIRS:
        lines += pair_table(*pair)
    return "\n".join([*lines, all_pairs()])


if __name__ == "__main__":
    torch.set_num_threads(1)
    disable_progress_bar()
    text = report()
    print(text)
    RESULT.write_text(text + "\n", encoding="utf-8")
