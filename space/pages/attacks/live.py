"""The alignment attack, carried out on the chosen release, and what a merge is worth before and after it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import torch
from torch import Tensor

from mergeguard_hub.attacks import Alignment, Knowledge, layout_of
from mergeguard_hub.audit.model_folder import ModelFolder
from mergeguard_hub.audit.tasks import Score
from mergeguard_hub.checkpoint import CheckpointTensors
from space.choice import Choice
from space.five import folder_of, merged_with, model_of, tuned_parts
from space.release import source_of
from space.shelf import BASE, SHELVES
from space.store import IN_USE, MODELS
from space.zoo.tasks import task

ITEMS: Mapping[str, int | None] = {"images": 12, "language": 24, "vision": None}
"""How many items of each task the models are scored on here, so that a visitor does not wait long; None: all."""

SUBJECTS = ("control", "protected", "merged", "attacked")
"""What is scored: the merge without protection, the release alone, the merge with it, and that after the attack."""

_ATTACKED = 6  # attacked releases that are remembered, 6 MB each at most


@dataclass(frozen=True)
class Attacked:
    """A release after the attack.

    Attributes:
        weights: its tensors, named as `ModelFolder.tensors` does.
        seconds: what the attack took.
        restored: fraction of the protected weights that are, bit for bit, what they were before they were rearranged.
    """

    weights: Mapping[str, Tensor]
    seconds: float
    restored: float


@dataclass(frozen=True)
class Result:
    """What has been found so far.

    Attributes:
        choice: what the visitor chose.
        attacked: the release after the attack; None before that.
        base: the base's score on each of both tasks.
        scores: for each of `SUBJECTS` that was scored, the score on each task.
    """

    choice: Choice
    attacked: Attacked | None
    base: Mapping[str, Score]
    scores: Mapping[str, Mapping[str, Score]]


def stages(choice: Choice) -> Iterator[tuple[str, Result]]:
    """Attack and score; yields what was done last, "base", "attack" or one of `SUBJECTS`, with all that is known."""
    base = scores_of(choice, BASE)
    yield "base", Result(choice, None, base, {})
    found = attacked(choice.family, choice.defender, choice.protection)
    yield "attack", Result(choice, found, base, {})
    scores: dict[str, Mapping[str, Score]] = {}
    for subject in SUBJECTS:
        scores[subject] = scores_of(choice, subject)
        yield subject, Result(choice, found, base, dict(scores))


@lru_cache(maxsize=_ATTACKED)
def attacked(family: str, defender: str, protection: str) -> Attacked:
    """Align a release to the public base; nobody tells the attack what was done to it."""
    shelf = SHELVES[family]
    choice = Choice(family, defender, shelf.partners(defender)[0], "Weight averaging", 0.5, protection)
    release, base = ModelFolder(folder_of(choice, "protected")), ModelFolder(shelf.folder(BASE))
    weights: dict[str, Tensor] = {}
    seconds = 0.0
    for part in tuned_parts(shelf):
        knowledge = Knowledge(_layout(family, part))
        start = time.perf_counter()
        made = Alignment().apply(
            CheckpointTensors(release.components[part]),
            base=CheckpointTensors(base.components[part]),
            knowledge=knowledge,
        )
        seconds += time.perf_counter() - start
        weights |= {f"{part}/{name}" if part else name: tensor for name, tensor in made.items()}
    before = ModelFolder(source_of(defender, family=family, protection=protection)).tensors(*tuned_parts(shelf))
    return Attacked(weights, seconds, _restored(weights, before))


@lru_cache(maxsize=512)
def scores_of(choice: Choice, subject: str) -> dict[str, Score]:
    """Return how one of `SUBJECTS` or the base does on the defender's and on the partner's task."""
    model = _attacked_merge(choice) if subject == "attacked" else model_of(choice, subject)
    names = (choice.defender, choice.partner)
    with IN_USE[choice.family]:
        return {name: task(choice.family, name).score(model, limit=ITEMS[choice.family]) for name in names}


def _attacked_merge(choice: Choice) -> object:
    found = attacked(choice.family, choice.defender, choice.protection)
    return MODELS.get(("attacked", choice), lambda: merged_with(choice, found.weights))


@cache
def _layout(family: str, part: str):  # type: ignore[no-untyped-def]  # a `Layout`
    """Prove the architecture once, outside the attack's seconds: anybody can who has the configuration."""
    return layout_of(ModelFolder(SHELVES[family].folder(BASE)).components[part])


def _restored(weights: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> float:
    same = sum(int(torch.eq(tensor, before[name]).sum()) for name, tensor in weights.items())
    return same / sum(tensor.numel() for tensor in before.values())
