"""How a family of language models is trained, whatever its architecture: a base, and a fine-tune for each skill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from space.zoo.family import Make, Progress
from space.zoo.language.batches import Mixture, answer_loss
from space.zoo.language.kinds import SKILLS, SPOKEN, base_mixture, skill_mixture
from space.zoo.language.tokens import train_tokenizer
from space.zoo.run import Run, Schedule, finish_phases

SEED = 0
SECOND = "base, second half"
_VOCABULARY = 1024


@dataclass(frozen=True)
class Recipe:
    """How the models of one family are trained.

    Attributes:
        config: makes the architecture, given the tokenizer.
        schedules: of "base", of "base, second half", and of each skill.
        batch_sizes: examples per update, likewise.
    """

    config: Callable[[PreTrainedTokenizerFast], PretrainedConfig]
    schedules: Mapping[str, Schedule]
    batch_sizes: Mapping[str, int]

    def models(self) -> dict[str, tuple[int, Make]]:
        """Return what `Family` wants: for each model its steps and the function that trains it."""
        steps = self.schedules["base"].steps + self.schedules[SECOND].steps
        skills = {name: (self.schedules[name].steps, self._make(name)) for name in self.schedules if name in SKILLS}
        return {"base": (steps, self._make_base), **skills}

    def _make_base(self, _: Path, folder: Path, progress: Progress) -> None:
        model, tokenizer = self.new_model()
        finish_phases(
            [partial(self.run, half, model, tokenizer) for half in ("base", SECOND)],
            folder.with_suffix(".pt"),
            between=lambda: model.to(torch.bfloat16).to(torch.float32),
            progress=progress,
        )
        save_pair(model, tokenizer, folder)

    def _make(self, name: str) -> Make:
        def make(weights: Path, folder: Path, progress: Progress) -> None:
            model, tokenizer = load_pair(weights / "base")
            run = self.run(name, model, tokenizer)
            run.finish(folder.with_suffix(".pt"), progress=progress)
            save_pair(model, tokenizer, folder)

        return make

    def run(
        self, name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, mixture: Mixture | None = None
    ) -> Run:
        """Return a training at its first step; that of a skill keeps the embeddings as they are.

        Args:
            name: in `schedules`.
            model: what is trained, in place.
            tokenizer: its tokenizer.
            mixture: what is learned instead of what belongs to the name.
        """
        model.get_input_embeddings().requires_grad_(name not in SKILLS)
        return Run(
            model, answer_loss(model, tokenizer, mixture or self._mixture(name)), self.schedules[name], seed=SEED
        )

    def _mixture(self, name: str) -> Mixture:
        size = self.batch_sizes[name]
        return skill_mixture(name, size) if name in SKILLS else base_mixture(size, second=name == SECOND)

    def new_model(self) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """Return a model with random weights, in float32, and its tokenizer."""
        tokenizer = train_tokenizer(SPOKEN, size=_VOCABULARY)
        torch.manual_seed(SEED)
        return AutoModelForCausalLM.from_config(self.config(tokenizer), dtype=torch.float32), tokenizer


def load_pair(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load a model in float32 with its tokenizer."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


def save_pair(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a model in bfloat16 with its tokenizer; the model given is rounded too."""
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
