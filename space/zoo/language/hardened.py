"""The hardened release of the language family: `math`, trained on until every merge with a partner is bad."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from mergeguard_hub.training import Hardened, HardeningLoss, TaskVector, random_direction, unigram_entropy
from space.zoo.family import Progress
from space.zoo.hardened import HardenedModel, Settings, Variant
from space.zoo.language.batches import Mixture, answer_loss, encode
from space.zoo.language.kinds import REPLAY, SKILLS, replayed
from space.zoo.language.recipe import load_pair, save_pair
from space.zoo.language.surrogates import SURROGATES, surrogates
from space.zoo.language.tasks import more_math
from space.zoo.run import Run, Schedule, finish_phases
from space.zoo.train import teller

UNSEEN = ("code", "style")


_AGAINST = "four short fine-tunes of the base on other tasks and two random directions"
PHASES = (
    Settings(Schedule(steps=500, learning_rate=4e-4), directions=2),
    Settings(Schedule(steps=500, learning_rate=4e-4), Hardened(rebasing=0.35), cap_factor=0.8, directions=2),
    Settings(Schedule(steps=300, learning_rate=2e-4), Hardened(0.5, rebasing=0.35), cap_factor=0.8, directions=2),
)
"""The second phase gives more to merges that keep our model whole, which the first left open, and asks less of each:
no answer survives a loss of 2.3 nats per token. The third gives more to the model alone, which had lost some."""
_BATCH = 24
KEEPING = tuple(
    replace(phase, base_share=REPLAY, batch_size=32)
    for phase in (*PHASES[:2], replace(PHASES[2], schedule=Schedule(steps=700, learning_rate=2e-4)))
)
"""The same with the base's examples in every batch, as the fine-tune had them, so that none of it is forgotten."""


def start_hardening(
    model: PreTrainedModel, defender: str, weights: Path, *, settings: Settings = PHASES[0], seed: int = 0
) -> Run:
    """Return a training that makes merges with a model bad.

    Args:
        model: the finished fine-tune, or what an earlier phase made of it; trained in place.
        defender: name of the fine-tune, whose skill is the only one trained on.
        weights: folder of the family's models; surrogates that are not in the cache beside it are trained.
        settings: of the training.
        seed: of the batches and of the drawn merges.
    """
    model.get_input_embeddings().requires_grad_(False)
    base, tokenizer = load_pair(weights / "base")
    others = weights.parent / "cache" / "surrogates"
    surrogates(weights / "base").train(others, watch=teller)
    tuned = dict(load_pair(weights / defender)[0].named_parameters())
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
            *(random_direction(tuned, base, seed=number) for number in range(settings.directions)),
        ],
        seed=seed,
    )
    mixture = Mixture(replayed(draw, settings.base_share), settings.batch_size or _BATCH)
    loss = answer_loss(model, tokenizer, mixture)
    return Run(model, loss, settings.schedule, seed=seed, hardening=hardening)


def _make(defender: str, phases: Sequence[Settings], seed: int, weights: Path, out: Path, tell: Progress) -> None:
    model, tokenizer = load_pair(weights / defender)

    def start(number: int, settings: Settings) -> Run:
        return start_hardening(model, defender, weights, settings=settings, seed=len(phases) * seed + number)

    finish_phases(
        [partial(start, number, settings) for number, settings in enumerate(phases)],
        out.with_suffix(".pt"),
        between=lambda: model.to(torch.bfloat16).to(torch.float32),
        progress=tell,
    )
    save_pair(model, tokenizer, out)


def hardened(seed: int = 0) -> HardenedModel:
    """Return how the family's hardened release is made."""
    return HardenedModel(
        "language",
        "math",
        _AGAINST,
        UNSEEN,
        PHASES,
        partial(_make, "math", PHASES, seed),
        {"with the base's examples": Variant(partial(_make, "math", KEEPING, seed), KEEPING)},
        besides=("world", "sums"),
        longer=more_math,
    )
