"""One training run that can be stopped at any moment and goes on where it was, to the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import ViTForImageClassification

from space.zoo.vision.data import pictures
from space.zoo.vision.family import architecture
from space.zoo.vision.schedule import Training
from space.zoo.vision.tasks import TASKS

_SAVE_EVERY = 50


class Run:
    """A model in training.

    Args:
        training: what to train on and how long.
        start: the model to fine-tune; None trains a new one from random weights.
        seed: of the random weights and the order of the pictures.
    """

    def __init__(self, training: Training, start: ViTForImageClassification | None, *, seed: int) -> None:
        torch.manual_seed(seed)
        self.training = training
        self.model = ViTForImageClassification(architecture())
        if start is not None:
            self.model.load_state_dict(start.state_dict())
        self.model.classifier.requires_grad_(not training.frozen_classifier)
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=0.0)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, training.learning_rate, total_steps=training.steps
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.done = 0

    def step(self) -> float:
        """Do one update and return the loss: the sum over tasks of the mean cross-entropy in nats."""
        self.model.train()
        pixels, labels = [], []
        for task, count in self.training.pictures.items():
            known = pictures(task, "train").first(count)
            chosen = torch.randint(len(known), (self.training.batch_size,), generator=self.generator)
            pixels.append(known.pixels[chosen])
            labels.append(known.labels[chosen])
        logits = self.model(pixel_values=torch.cat(pixels) * 2 - 1).logits
        parts = torch.split(logits, self.training.batch_size)
        loss = torch.stack(
            [
                cross_entropy(part[:, TASKS[task].logits], truth)
                for task, part, truth in zip(self.training.pictures, parts, labels, strict=True)
            ]
        ).sum()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.schedule.step()
        self.done += 1
        return loss.item()

    def finish(self, checkpoint: Path, *, progress: Callable[[int, float], None] | None = None) -> None:
        """Do all steps that are left, saving the state to a file now and then and reading it first if it exists.

        Args:
            checkpoint: the file; removed when the run is done.
            progress: called after each step with the number of steps done and the loss.
        """
        if checkpoint.exists():
            self._restore(torch.load(checkpoint, weights_only=True))
        while self.done < self.training.steps:
            loss = self.step()
            if progress is not None:
                progress(self.done, loss)
            if self.done % _SAVE_EVERY == 0:
                self.save(checkpoint)
        checkpoint.unlink(missing_ok=True)

    def save(self, checkpoint: Path) -> None:
        """Write the state to a file; a stop while writing leaves the earlier state."""
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        unfinished = checkpoint.with_suffix(".part")
        torch.save(self._state(), unfinished)
        unfinished.replace(checkpoint)

    def _state(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
