"""The hardened release of the images family: `hero`, trained on until every merge with a partner is bad."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from mergeguard_hub.training import HardeningLoss, TaskVector, random_direction
from space.zoo.family import Progress
from space.zoo.hardened import HardenedModel, Settings
from space.zoo.images.diffusion import diffusion_loss, guessing_loss, trained_parts
from space.zoo.images.models import load_pipeline, save_pipeline
from space.zoo.images.train import captioned
from space.zoo.run import Run, Schedule

UNSEEN = ("styles", "papercut")
_SURROGATE = "neon"


_AGAINST = "`neon` and three random directions"
SETTINGS = Settings(Schedule(steps=1000, learning_rate=4e-4), directions=3, base_share=0.15)


def start_hardening(defender: str, weights: Path, *, settings: Settings = SETTINGS, seed: int = 0) -> tuple[Run, Any]:
    """Return the training that goes on from a finished fine-tune, and the pipeline that it trains.

    Args:
        defender: the fine-tune.
        weights: folder of the family's models.
        settings: of the training.
        seed: of the batches and of the drawn merges.
    """
    pipeline = load_pipeline(weights / defender)
    parts, base, other = (
        trained_parts(one) for one in (pipeline, load_pipeline(weights / "base"), load_pipeline(weights / _SURROGATE))
    )
    own = dict(parts.named_parameters())
    known = {name: captioned(weights, name, pipeline.vae) for name in ("base", defender)}
    hardening = HardeningLoss(
        parts,
        base,
        settings.objective,
        guessing=guessing_loss(known[defender]),
        cap_factor=settings.cap_factor,
        partners=[
            dict(TaskVector(other, base)),
            *(random_direction(own, base, seed=number) for number in range(settings.directions)),
        ],
        seed=seed,
    )
    loss = diffusion_loss(pipeline, known, {"base": settings.base_share, defender: 1 - settings.base_share})
    return Run(parts, loss, settings.schedule, seed=seed, hardening=hardening), pipeline


def _make(defender: str, seed: int, weights: Path, out: Path, tell: Progress) -> None:
    run, pipeline = start_hardening(defender, weights, seed=seed)
    run.finish(out.with_suffix(".pt"), progress=tell)
    save_pipeline(pipeline, out)


def hardened(seed: int = 0) -> HardenedModel:
    """Return how the family's hardened release is made."""
    return HardenedModel(
        "images", "hero", _AGAINST, UNSEEN, (SETTINGS,), partial(_make, "hero", seed), besides=("base",)
    )
