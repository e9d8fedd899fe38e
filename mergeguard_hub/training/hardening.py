"""One object that trains a release to be good alone and bad in merges: for plain loops, Accelerate and the Trainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mergeguard_hub.errors import DivergedError, TrainingError
from mergeguard_hub.training.base_weights import Base
from mergeguard_hub.training.cells import Cell, Objective
from mergeguard_hub.training.chance import keep_chance, mean_over_processes, restore_chance
from mergeguard_hub.training.directions import Direction
from mergeguard_hub.training.guessing import CAP_FACTOR
from mergeguard_hub.training.note import note_training
from mergeguard_hub.training.relearning import Relearning
from mergeguard_hub.training.running import RELEARNED, Losses, RunningLosses
from mergeguard_hub.training.trained import Trained

Closure = Callable[[], Tensor]
"""Computes the loss of the current batch with the model's weights as they are now; a scalar with its graph."""
Backward = Callable[[Tensor], object]

_PATIENCE = 50  # steps that the model alone may be worse than guessing, or merges without a finite loss; our choice


class HardeningLoss:
    """L(model) - strength * E[w * min(L(merge), cap)], one drawn merge per batch.

    For every batch there are two passes, one after the other: the model as it is, and the same weights moved in place
    to a merge, with the same dropout. So there is never more than one set of activations; memory beyond plain training
    is one copy of the trained weights, and the base's weights unless they are mapped from a folder. The gradient is
    exactly that of the formula: in a moved weight base + a (w - base) it is a times the gradient taken there, which is
    folded into the factor of the loss. Works under autocast, gradient checkpointing, DistributedDataParallel and
    `fully_shard`; with several processes all draw the same cells, and the cap is compared with the mean of all.

    Above the cap the loss off nominal has no gradient. Pushing it further than guessing wastes capacity and costs
    standalone quality. A merge whose loss is infinite or NaN is bad enough, and counts as one at a finite cap.

    Frozen weights are moved by partners only, though a merge scales their part of the task vector too: if they differ
    from the base, what is drawn is not quite the merge that a free-rider makes. Train what the fine-tuning trained.

    It does *not* bring back partners' tasks, protect what the model is on its own, or stop anybody from fine-tuning a
    merge with data: docs/hardening.md has what was measured.

    Args:
        model: what is trained, wrapped or not. Its parameters must not be replaced afterwards (move it to its device
            and wrap it first).
        base: the base model; None for adapters.
        objective: `Trap2` or `Hardened` with their settings.
        guessing: loss of guessing (see `class_guessing`, `unigram_entropy`, `zero_prediction`).
        cap_factor: the cap, as a multiple of it. `math.inf` is the paper's Trap², whose loss is not bounded below.
        partners: task vectors of surrogate partners, for `Hardened`.
        relearning: trains some of the merges back before their loss counts.
        seed: of the drawn cells.

    Raises:
        TrainingError: everything is frozen, or a setting is impossible.
        BaseModelError: the base or a partner does not match.

    Example:
        hardening = HardeningLoss(model, base, Hardened(), guessing=math.log(10), partners=[TaskVector(other, base)])
        for batch in batches:
            optimizer.zero_grad()
            hardening.backward(lambda: model(**batch).loss)
            optimizer.step()
    """

    def __init__(
        self,
        model: nn.Module,
        base: Base | None,
        objective: Objective,
        *,
        guessing: float,
        cap_factor: float = CAP_FACTOR,
        partners: Sequence[Direction] = (),
        relearning: Relearning | None = None,
        seed: int = 0,
    ) -> None:
        if not (0 < guessing < math.inf and cap_factor > 0):
            raise TrainingError(
                f"guessing is {guessing} and cap_factor {cap_factor}; both must be positive, and the loss finite."
            )
        if not -(2**31) <= seed < 2**32:
            raise TrainingError(f"seed is {seed}, and must be from -2**31 to 2**32 - 1.")
        self.objective, self.guessing, self.cap, self.seed = objective, guessing, cap_factor * guessing, seed
        self._trained, self.relearning = Trained(model, base, partners), relearning
        self._drawn = 0
        self._losses = RunningLosses(guessing=guessing, cap=self.cap)
        self._worse = self._broken = 0

    def backward(self, closure: Closure, *, backward: Backward | None = None, share: float = 1.0) -> Losses:
        """Add the gradients of the whole loss of one batch to `.grad`.

        Args:
            closure: computes the batch's loss; called twice.
            backward: what runs a backward pass, for example `accelerator.backward` or one that scales for float16.
            share: factor on both losses: 1 / k when the gradients of k batches are accumulated by hand (Accelerate's
                `accumulate` divides by itself).

        Raises:
            DivergedError: the loss of the model is infinite or NaN, or that of 50 merges in a row (of one if there is
                no cap), or the model has become worse than guessing; the weights are then the last ones for which it
                was finite, and gradients are as they were left.
        """
        chance = keep_chance()
        loss = closure()
        self.check(loss)
        (backward or _plain)(loss * share)
        return self.off_nominal(closure, nominal=loss, chance=chance, backward=backward, share=share)

    def off_nominal(
        self,
        closure: Closure,
        *,
        nominal: Tensor,
        chance: Any = None,
        backward: Backward | None = None,
        share: float = 1.0,
    ) -> Losses:
        """Add the gradients of the part off nominal alone, where something else has done the nominal pass.

        Args:
            closure: as `backward`.
            nominal: the loss of the nominal pass.
            chance: the state of the random generators before it, from `keep_chance`.
            backward: as `backward`.
            share: as `backward`.

        Raises:
            DivergedError: as `backward`.
        """
        cell = self._draw()
        self._trained.remember()
        after = keep_chance()
        try:
            self._trained.move(cell.scale, cell.weight, cell.partner)
            relearned = self.relearning is not None and self.relearning.due(self._drawn)
            if self.relearning is not None and relearned:
                self.relearning.train(self._trained.weights)
                after = keep_chance()  # or the next free-rider would draw the same data again
            if chance is not None:
                restore_chance(chance)
            loss = closure()
            level = mean_over_processes(loss)
            self._check_merge(level, cell)
            factor = -self.objective.strength * self.objective.emphasis(cell) * self._trained.slope(cell.scale)
            if level < self.cap and factor != 0.0:
                (backward or _plain)(loss * (factor * share))
        finally:
            self._trained.restore()
            restore_chance(after)
        self._note(RELEARNED if relearned else self.objective.region(cell), level)
        return Losses(float(nominal.detach()), level, cell, not level < self.cap)

    def check(self, loss: Tensor) -> None:
        """Look at the loss of the model as it is, before its backward pass.

        Raises:
            DivergedError: as `backward`.
        """
        level = mean_over_processes(loss)
        if not math.isfinite(level):
            known = self._trained.restore()
            kept = ". The weights are those of the step before, the last with a finite loss" if known else ""
            raise DivergedError(
                self._explained(
                    f"the loss of the model alone is {level}{kept}. Look first for NaN in this batch, and for one "
                    "without labels; if it is sound"
                )
            )
        good = self._losses.nominal is not None and self._losses.nominal < self.guessing
        self._worse = self._worse + 1 if good and level > self.guessing else 0
        if self._worse >= _PATIENCE:
            raise DivergedError(
                self._explained(
                    f"the model alone has been worse than guessing ({level:.3g} nats, guessing is {self.guessing:.3g}) "
                    f"for {_PATIENCE} steps. Probably"
                )
            )
        if not good or level <= self.guessing:
            self._losses.note_nominal(level)

    def _check_merge(self, level: float, cell: Cell) -> None:
        """Raise DivergedError if too many merges in a row had no finite loss."""
        self._broken = 0 if math.isfinite(level) else self._broken + 1
        if self._broken >= (_PATIENCE if math.isfinite(self.cap) else 1):
            times = f", and so were {self._broken - 1} before it" if self._broken > 1 else ""
            raise DivergedError(
                self._explained(
                    f"the loss of the merge {cell} is {level}{times}. Look first for NaN in the base and the partners, "
                    "and for 16-bit numbers that overflow; if there are none"
                )
            )

    def metrics(self) -> dict[str, float]:
        """Return running means, for logs.

        Returns:
            "nominal_loss"; "off_nominal_loss" over all regions seen; "worst_loss", that of the region where merges keep
            most; "transfer", how much of the way from guessing to the model alone that region keeps (1: all of it,
            0 or less: none), a proxy on surrogates for what an audit measures on real partners; and "relearned_loss" of
            merges that were trained back, if any, which is in none of the others. What is not known is NaN: "transfer"
            while the model alone is no better than guessing, and all but the first if every merge is trained back.

        Raises:
            TrainingError: there was no batch yet.
        """
        return self._losses.metrics()

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs, ready for JSON; no weights."""
        return {"drawn": self._drawn, "seed": self.seed, **self._losses.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a training stopped.

        Raises:
            TrainingError: the state was drawn with another seed.
        """
        if state["seed"] != self.seed:
            raise TrainingError(f"the state was drawn with seed {state['seed']}, and this is seed {self.seed}.")
        self._drawn = int(state["drawn"])
        self._losses.load_state_dict(state)

    def _draw(self) -> Cell:
        generator = torch.Generator().manual_seed((self.seed << 32) + self._drawn)
        self._drawn += 1
        partners = len(self._trained.partners)
        return self.objective.draw(generator, partners=partners, losses=self._losses.regions, cap=self.cap)

    def _note(self, region: str, level: float) -> None:
        self._losses.note_merge(region, level)
        partners = len(self._trained.partners)
        note_training(self._trained.model, self.objective, cap=self.cap, partners=partners, batches=self._drawn)

    def _explained(self, what: str) -> str:
        cause = f"strength (lambda) {self.objective.strength:g} with the cap {self.cap:.3g}"
        unbounded = " is not bounded: give a finite cap_factor" if math.isinf(self.cap) else " may be too large"
        return f"{what}, the learning rate is too high, or {cause}{unbounded}; lower one of them and start again."


def _plain(loss: Tensor) -> None:
    torch.autograd.backward([loss])
