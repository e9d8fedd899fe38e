"""The vision family: one base and one fine-tune per task. `python -m space.zoo.train vision` trains them again.

The base sees a little of every task: few pictures of most, and few steps. Each fine-tune sees many pictures of its own
task, with the base's classifier kept as it is, so that all models can be merged under one classifier.

What was tuned so that ordinary merges of unprotected models keep most of both skills: a fine-tune rehearses what the
base knows of the other tasks, on no other pictures than the base's, and is merge-ready (`Schedule.merge_ready`).
Without the rehearsal, averages of some pairs lost one of the two skills, however good half of each fine-tuning was by
itself. Also tuned: how many pictures of each task the base sees, so that it is clearly worse than the fine-tunes.
Weights are kept in bfloat16: rounding changed none of the base's eight accuracies by more than 0.005.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers import ViTForImageClassification

from space.zoo.family import Family, Progress
from space.zoo.run import Run, Schedule
from space.zoo.vision.data import Pictures, pictures
from space.zoo.vision.family import architecture, as_input, load_model
from space.zoo.vision.measure import SEED, measure
from space.zoo.vision.tasks import TASKS

BASE = Schedule(steps=900, learning_rate=2e-3)
BASE_BATCH = 32  # pictures per step and task
BASE_PICTURES = {
    "scenes": 500,
    "vehicles": 4000,
    "aerial": 1000,
    "land": 600,
    "numbers": 6000,
    "signs": 1500,
    "digits": 150,
    "textures": 4000,
}
FINE_TUNE_BATCH = 96
FINE_TUNE_PICTURES = 8000


@dataclass(frozen=True)
class FineTune:
    """How the base is trained on one task.

    Attributes:
        schedule: steps and learning rate.
        rehearsed: pictures per step of each other task.
        moved: pixels by which the task's pictures are moved at most, as if there were more of them.
    """

    schedule: Schedule
    rehearsed: int = 4
    moved: int = 0


_SHORT = FineTune(Schedule(steps=450, learning_rate=8e-4, merge_ready=0.4))
_LONG = FineTune(Schedule(steps=800, learning_rate=1.2e-3, average=0.99, merge_ready=0.4), moved=2)
FINE_TUNES = {task: _LONG if task == "numbers" else _SHORT for task in TASKS}
"""`numbers` is the hardest to merge of the defenders, and got the longer training that this takes."""


@dataclass(frozen=True)
class Part:
    """A part of every batch: pictures of one task.

    Attributes:
        task: the task's name.
        known: what is drawn from.
        size: pictures per step.
        moved: pixels by which they are moved at most.
    """

    task: str
    known: Pictures
    size: int
    moved: int = 0


def losses(model: ViTForImageClassification, parts: Sequence[Part], generator: torch.Generator) -> Tensor:
    """Draw a batch and return each part's cross-entropy in nats, among the classes of its task. -> [parts]."""
    pixels, labels = [], []
    for part in parts:
        chosen = torch.randint(len(part.known), (part.size,), generator=generator)
        pixels.append(moved(as_input(part.known.pixels[chosen]), part.moved, generator))
        labels.append(part.known.labels[chosen])
    logits = torch.split(model(pixel_values=torch.cat(pixels)).logits, [part.size for part in parts])
    found = [
        cross_entropy(own[:, TASKS[part.task].logits], truth)
        for part, own, truth in zip(parts, logits, labels, strict=True)
    ]
    return torch.stack(found)


def moved(pixels: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return pictures moved by no more than `most` pixels each way, all alike; their edges are repeated."""
    if not most:
        return pixels
    down, across = torch.randint(2 * most + 1, (2,), generator=generator).tolist()
    wide = pad(pixels, (most,) * 4, mode="replicate")
    return wide[..., down : down + pixels.shape[-2], across : across + pixels.shape[-1]]


def start_base(
    counts: Mapping[str, int] = MappingProxyType(BASE_PICTURES), *, seed: int = SEED, cache: Path | None = None
) -> Run:
    """Return the training of the base, from random weights.

    Args:
        counts: how many training pictures of each task are drawn from.
        seed: of the weights and the batches.
        cache: folder that keeps the pictures.
    """
    torch.manual_seed(seed)
    model = ViTForImageClassification(architecture())
    parts = [Part(task, _known(task, count, cache), BASE_BATCH) for task, count in counts.items()]
    return Run(model, lambda generator: losses(model, parts, generator).mean(), BASE, seed=seed)


def start_fine_tune(
    task: str,
    base: ViTForImageClassification,
    *,
    count: int = FINE_TUNE_PICTURES,
    rehearsed: Mapping[str, int] = MappingProxyType(BASE_PICTURES),
    cache: Path | None = None,
) -> Run:
    """Return the training of the base on one task; it trains the base itself, but for the classifier.

    The loss is that of the task, and with it the mean of the other tasks' on what the base knows of them.

    Args:
        task: a name in `TASKS`.
        base: the model to start from.
        count: how many training pictures are drawn from.
        rehearsed: how many of each task the base has seen.
        cache: folder that keeps the pictures.
    """
    base.classifier.requires_grad_(False)
    recipe = FINE_TUNES[task]
    own = Part(task, _known(task, count, cache), FINE_TUNE_BATCH, recipe.moved)
    others = [
        Part(other, _known(other, seen, cache), recipe.rehearsed) for other, seen in rehearsed.items() if other != task
    ]

    def loss(generator: torch.Generator) -> Tensor:
        found = losses(base, [own, *others], generator)
        return found[0] + found[1:].mean()

    return Run(base, loss, recipe.schedule, seed=SEED)


def _known(task: str, count: int, cache: Path | None) -> Pictures:
    """Return the first training pictures of a task; a cache holds as many as a fine-tuning needs."""
    if cache is None:
        return pictures(task, "train", count)
    most = pictures(task, "train", max(count, FINE_TUNE_PICTURES), cache=cache)
    return Pictures(most.pixels[:count], most.labels[:count])


def _make(name: str, weights: Path, out: Path, tell: Progress) -> None:
    cache = weights.parent / "cache"
    run = (
        start_base(cache=cache) if name == "base" else start_fine_tune(name, load_model(weights / "base"), cache=cache)
    )
    trained = run.finish(out.with_suffix(".pt"), progress=tell).to(torch.bfloat16)
    cast(ViTForImageClassification, trained).save_pretrained(out)


FAMILY = Family(
    "vision",
    {"base": (BASE.steps, partial(_make, "base"))}
    | {task: (recipe.schedule.steps, partial(_make, task)) for task, recipe in FINE_TUNES.items()},
    measure,
)
