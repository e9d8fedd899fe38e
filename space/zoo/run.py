"""One training run that can be stopped at any moment and goes on where it was, to the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from transformers import get_cosine_schedule_with_warmup

from mergeguard_hub.training import HardeningLoss

Loss = Callable[[torch.Generator], Tensor]

_SAVE_EVERY = 100
_WARM_UP = 0.05  # fraction of the steps
_LARGEST_GRADIENT = 1.0  # norm over all weights
_BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Schedule:
    """How a model is trained: AdamW, the learning rate up over the first twentieth and down along a cosine.

    Attributes:
        steps: updates.
        learning_rate: the highest.
        weight_decay: as AdamW's.
        average: decay of the moving average of the weights that is kept as the result; 0 keeps the last weights.
        merge_ready: None takes each gradient where the weights are. A number in (0, 1) takes it at
            base + t (weights - base), t drawn anew in [merge_ready, 1], so that a part of the fine-tuning, which is
            all that a merge takes over, does the task too. Small models whose fine-tunes are plain lose both skills
            when they are averaged.
    """

    steps: int
    learning_rate: float
    weight_decay: float = 0.0
    average: float = 0.0
    merge_ready: float | None = None


class Run:
    """A model in training.

    Args:
        model: whose weights are trained in place, but for those that need no gradient; several models as one
            `nn.ModuleDict`.
        loss: draws its batch with the generator it gets and returns the loss, with its graph.
        schedule: how long, how fast and at which weights.
        seed: of every batch.
        base: what merge-ready training goes out from; None: the weights that the model has now.
        hardening: makes merges bad beside the loss; takes the place of merge-ready training.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        schedule: Schedule,
        *,
        seed: int,
        base: nn.Module | None = None,
        hardening: HardeningLoss | None = None,
    ) -> None:
        self.model, self.loss, self.schedule = model, loss, schedule
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        trained = [weight.requires_grad for weight in model.parameters()]
        start = [weight for weight, chosen in zip((base or model).parameters(), trained, strict=True) if chosen]
        self.base = [weight.detach().clone() for weight in start] if schedule.merge_ready is not None else []
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=schedule.learning_rate, betas=_BETAS, weight_decay=schedule.weight_decay
        )
        self.rate = get_cosine_schedule_with_warmup(self.optimizer, int(_WARM_UP * schedule.steps), schedule.steps)
        self.average = AveragedModel(model, avg_fn=self._averaged) if schedule.average else None
        self.generator = torch.Generator().manual_seed(seed)
        self.hardening = hardening
        self.done = 0

    def finish(self, checkpoint: Path, *, progress: Callable[[int, float], None] | None = None) -> nn.Module:
        """Do all steps that are left, saving the state now and then and reading it first if it exists.

        Args:
            checkpoint: the file of the state; removed when the run is done.
            progress: called after each step with the number of steps done and the loss.

        Returns:
            The model given, with the weights to keep.
        """
        if checkpoint.exists():
            self._restore(torch.load(checkpoint, weights_only=True))
        while self.done < self.schedule.steps:
            loss = self.step()
            if progress is not None:
                progress(self.done, loss)
            if self.done % _SAVE_EVERY == 0:
                self.save(checkpoint)
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        checkpoint.unlink(missing_ok=True)
        return self.model

    def step(self) -> float:
        """Do one update and return the loss before it."""
        self.model.train()
        self.optimizer.zero_grad()
        loss = self._plain() if self.hardening is None else self._hardened(self.hardening)
        nn.utils.clip_grad_norm_(self.weights, _LARGEST_GRADIENT)
        self.optimizer.step()
        self.rate.step()
        self.done += 1
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss

    def _plain(self) -> float:
        with self._towards_base():
            loss = self.loss(self.generator)
            torch.autograd.backward(loss)
        return loss.item()

    def _hardened(self, hardening: HardeningLoss) -> float:
        """Add the gradients of the loss and of that of a drawn merge, on the same batch."""
        before = self.generator.get_state()

        def again() -> Tensor:
            self.generator.set_state(before)
            return self.loss(self.generator)

        return hardening.backward(again).nominal

    def save(self, checkpoint: Path) -> None:
        """Write the state to a file; a stop while writing leaves the earlier state."""
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        unfinished = checkpoint.with_suffix(".part")
        torch.save(self._state(), unfinished)
        unfinished.replace(checkpoint)

    @contextmanager
    def _towards_base(self) -> Iterator[None]:
        """Move the weights a drawn part of the way to the base, and back again."""
        nearest = self.schedule.merge_ready
        if nearest is None:
            yield
            return
        here = [weight.detach().clone() for weight in self.weights]
        part = nearest + (1 - nearest) * torch.rand((), generator=self.generator).item()
        with torch.no_grad():
            for weight, base in zip(self.weights, self.base, strict=True):
                weight.lerp_(base, 1 - part)
        try:
            yield
        finally:
            with torch.no_grad():
                for weight, own in zip(self.weights, here, strict=True):
                    weight.copy_(own)

    def _averaged(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        """Return the moving average, faster at first so that the random start is soon forgotten."""
        decay = min(self.schedule.average, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(average, current, 1 - decay)

    def _state(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": self.rate.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "generator": self.generator.get_state(),
            "hardening": None if self.hardening is None else self.hardening.state_dict(),
            "torch_rng": torch.get_rng_state(),  # dropout draws from it
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.load_state_dict(state["rate"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.generator.set_state(state["generator"])
        if self.hardening is not None:
            self.hardening.load_state_dict(state["hardening"])
        torch.set_rng_state(state["torch_rng"])


def finish_phases(
    starts: Sequence[Callable[[], Run]],
    checkpoint: Path,
    *,
    between: Callable[[], object],
    progress: Callable[[int, float], None],
) -> None:
    """Train one model in several phases, each a run of its own; stopped at any moment, it goes on where it was.

    Args:
        starts: make the runs, all of the same model, each from the weights that the model has when it is called.
        checkpoint: each phase keeps its state beside this file, under a name of its own.
        between: called after every phase but the last, to round the weights as saving and loading them would.
        progress: called after each step with the number of steps done in all phases and the loss.
    """
    files = [checkpoint.with_suffix(f".phase-{number}.pt") for number in range(len(starts))]
    before = 0
    for number, start in enumerate(starts):
        run = start()
        # The state of a later phase, once there is one, holds all that the earlier ones did.
        if not any(file.exists() for file in files[number + 1 :]):
            run.finish(files[number], progress=partial(further, progress, before))
            if number + 1 < len(starts):
                between()
                starts[number + 1]().save(files[number + 1])
        before += run.schedule.steps


def further(progress: Callable[[int, float], None], before: int, done: int, loss: float) -> None:
    """Tell of a step of a later phase: `before` is the number of steps in the phases before it."""
    progress(before + done, loss)
