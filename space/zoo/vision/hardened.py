"""The hardened release of the vision family: `scenes`, trained on until every merge with a partner is bad.

The surrogate partners are the family's other fine-tunes, but for the two that the release is judged with.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import ViTForImageClassification

from mergeguard_hub.training import HardeningLoss, TaskVector, class_guessing
from space.zoo.family import Progress
from space.zoo.hardened import HardenedModel, Settings, Variant
from space.zoo.run import Run, Schedule
from space.zoo.vision.data import pictures
from space.zoo.vision.family import load_model
from space.zoo.vision.tasks import TASKS
from space.zoo.vision.train import FINE_TUNE_PICTURES, Part, losses

UNSEEN = ("aerial", "digits")
_AGAINST = "the family's five other fine-tunes"
SETTINGS = Settings(Schedule(steps=2000, learning_rate=5e-4))
_BATCH = 64
_MOVED = 2  # pixels


def start_hardening(
    defender: str,
    weights: Path,
    *,
    unseen: tuple[str, ...] = UNSEEN,
    count: int = FINE_TUNE_PICTURES,
    settings: Settings = SETTINGS,
    seed: int = 0,
) -> Run:
    """Return the training that goes on from a finished fine-tune.

    Args:
        defender: the fine-tune, whose task is the only one trained on.
        weights: folder of the family's models.
        unseen: partners that are no surrogates.
        count: how many training pictures are drawn from.
        settings: of the training.
        seed: of the batches and of the drawn merges.
    """
    model, base = load_model(weights / defender), load_model(weights / "base")
    model.classifier.requires_grad_(False)
    surrogates = [name for name in TASKS if name not in (defender, *unseen)]
    part = Part(defender, pictures(defender, "train", count), _BATCH, _MOVED)

    def loss(generator: torch.Generator) -> Tensor:
        return losses(model, [part], generator)[0]

    hardening = HardeningLoss(
        model,
        base,
        settings.objective,
        guessing=class_guessing(len(TASKS[defender].classes)),
        cap_factor=settings.cap_factor,
        partners=[dict(TaskVector(load_model(weights / name), base)) for name in surrogates],
        seed=seed,
    )
    return Run(model, loss, settings.schedule, seed=seed, hardening=hardening)


def _make(defender: str, seed: int, weights: Path, out: Path, tell: Progress, *, plain: bool = False) -> None:
    run = start_hardening(defender, weights, seed=seed)
    if plain:
        run.hardening = None
    trained = run.finish(out.with_suffix(".pt"), progress=tell)
    cast(ViTForImageClassification, trained.to(torch.bfloat16)).save_pretrained(out)


def hardened(seed: int = 0) -> HardenedModel:
    """Return how the family's hardened release is made."""
    make = partial(_make, "scenes", seed)
    variants = {"without hardening": Variant(partial(make, plain=True))}
    return HardenedModel("vision", "scenes", _AGAINST, UNSEEN, (SETTINGS,), make, variants)
