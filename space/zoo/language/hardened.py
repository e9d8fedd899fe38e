"""The hardened release of the language family: `math`, trained on until every merge with a partner is bad."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import torch

from mergeguard_hub.training import HardeningLoss, TaskVector, random_direction, unigram_entropy
from space.zoo.family import Progress
from space.zoo.hardened import HardenedModel, Settings
from space.zoo.language.batches import Mixture, answer_loss, encode
from space.zoo.language.kinds import SKILLS
from space.zoo.language.recipe import load_pair, save_pair
from space.zoo.language.surrogates import SURROGATES, surrogates
from space.zoo.run import Run, Schedule
from space.zoo.train import teller

UNSEEN = ("code", "style")


_AGAINST = "four short fine-tunes of the base on other tasks and two random directions"
SETTINGS = Settings(Schedule(steps=500, learning_rate=4e-4), directions=2)
_BATCH = 24


def start_hardening(defender: str, weights: Path, *, settings: Settings = SETTINGS, seed: int = 0) -> Run:
    """Return the training that goes on from a finished fine-tune.

    Args:
        defender: the fine-tune, whose skill is the only one trained on.
        weights: folder of the family's models; surrogates that are not in its cache are trained.
        settings: of the training.
        seed: of the batches and of the drawn merges.
    """
    model, tokenizer = load_pair(weights / defender)
    base, _ = load_pair(weights / "base")
    model.get_input_embeddings().requires_grad_(False)
    others = weights.parent / "cache" / "surrogates"
    surrogates(weights / "base").train(others, watch=teller)
    own = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    draw, source = SKILLS[defender], random.Random(0)
    drawn = (encode(tokenizer, draw(source)) for _ in range(500))
    answers = [token for tokens, asked in drawn for token in tokens[asked:]]
    hardening = HardeningLoss(
        model,
        base,
        settings.objective,
        guessing=unigram_entropy(torch.tensor(answers)),
        cap_factor=settings.cap_factor,
        partners=[
            *(dict(TaskVector(load_pair(others / name)[0], base)) for name in SURROGATES),
            *(random_direction(own, base, seed=number) for number in range(settings.directions)),
        ],
        seed=seed,
    )
    loss = answer_loss(model, tokenizer, Mixture({draw: 1.0}, _BATCH))
    return Run(model, loss, settings.schedule, seed=seed, hardening=hardening)


def _make(defender: str, seed: int, weights: Path, out: Path, tell: Progress) -> None:
    run = start_hardening(defender, weights, seed=seed)
    run.finish(out.with_suffix(".pt"), progress=tell)
    save_pair(run.model, load_pair(weights / defender)[1], out)


def hardened(seed: int = 0) -> HardenedModel:
    """Return how the family's hardened release is made."""
    return HardenedModel("language", "math", _AGAINST, UNSEEN, SETTINGS.schedule.steps, partial(_make, "math", seed))
