"""Protection in transformers' Trainer: the losses off nominal, MergeGuard's penalty, resuming, logs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import ExportableState

from mergeguard_hub.checkpoint import SIDECAR
from mergeguard_hub.errors import TrainingError
from mergeguard_hub.training.callback import SETTINGS, MergeGuardCallback
from mergeguard_hub.training.chance import keep_chance, mean_over_processes
from mergeguard_hub.training.density import DensityPenalty
from mergeguard_hub.training.hardening import HardeningLoss
from mergeguard_hub.training.last_good import LastGood

MakeHardening = Callable[[nn.Module], HardeningLoss]
"""Makes the loss for the model as it is trained: on its device, wrapped, sharded."""

_STATE = "ProtectionState"
_NOTED = ("_metrics", "_total_train_tokens")  # TRL's running metrics


class MergeGuardTrainerMixin:
    """Makes any Trainer protect while it trains. Put it first among the bases, before the Trainer's class.

    The Trainer gets two more keyword arguments:

    * `hardening`: a function from the model in training to its `HardeningLoss`, for example
      `functools.partial(HardeningLoss, base=base, objective=Trap2(), guessing=2.3)`. It is called once, in the first
      step, when the model is where it is trained and wrapped as it is. Every batch then costs two passes.
    * `density`: a `DensityPenalty`; its gradient is added once per optimizer step, before clipping.

    Works with gradient accumulation (cells are drawn anew for every part of a batch that has labels, and the part off
    nominal counts all parts alike), mixed precision, gradient checkpointing, several processes, and subclasses that
    compute a loss of their own. Logs get what `HardeningLoss.metrics` returns. Checkpoints keep the state of the draws
    in trainer_state.json, and a resumed training goes on with it.

    It does not protect saves: call `mergeguard_hub.enable(model)` first, and every save that this Trainer makes is
    protected too. To resume from checkpoints they must stay raw: add `MergeGuardCallback`.

    Raises:
        TrainingError: at once, under DataParallel or DeepSpeed; in training, a checkpoint to be resumed from or to be
            loaded as the best holds a protected release.
    """

    def __init__(
        self,
        *args: Any,
        hardening: MakeHardening | None = None,
        density: DensityPenalty | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._make_hardening, self.density = hardening, density
        self.hardening: HardeningLoss | None = None
        self._good: LastGood | None = None
        trainer: Any = self
        if trainer.args.n_gpu > 1:
            raise TrainingError(
                "this Trainer would spread batches over several GPUs of one process (DataParallel), which does not see "
                "weights that are moved. Launch one process per GPU: `accelerate launch` or `torchrun`."
            )
        if trainer.is_deepspeed_enabled and (hardening is not None or density is not None):
            raise TrainingError(
                "under DeepSpeed parameters and gradients are not where the protection can change them; use "
                "DistributedDataParallel or FSDP2."
            )
        trainer.add_callback(ProtectionState(self))

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Do the usual step's passes, then those of the protection; gradients are added up in `.grad`."""
        trainer: Any = self
        if self.hardening is None and self._make_hardening is not None:
            self.hardening = self._made(self._make_hardening, model)
        chance = keep_chance()
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        if self.hardening is not None:
            self._off_nominal(self.hardening, model, inputs, loss, num_items_in_batch, chance)
        elif self.density is not None:
            self._good = self._good or LastGood(model, cause=f"alpha {self.density.alpha:g}")
            self._good.check(loss)
        if self.density is not None and trainer.accelerator.sync_gradients:
            scaler = trainer.accelerator.scaler
            self.density.add_gradients(model, grad_scale=float(scaler.get_scale()) if scaler is not None else 1.0)
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the Trainer logs; in training also the running means of the protection."""
        if self.hardening is not None and "loss" in logs:
            logs = {**logs, **self.hardening.metrics()}
        super().log(logs, start_time)  # type: ignore[misc]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        _refuse_release(resume_from_checkpoint)
        super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]

    def _load_best_model(self) -> None:
        trainer: Any = self
        _refuse_release(trainer.state.best_model_checkpoint)
        super()._load_best_model()  # type: ignore[misc]

    def _load_callback_state(self) -> None:
        trainer: Any = self
        super()._load_callback_state()  # type: ignore[misc]
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, ProtectionState):
                callback.trainer = self  # transformers has made it anew, from what trainer_state.json holds

    def _made(self, make: MakeHardening, model: nn.Module) -> HardeningLoss:
        trainer: Any = self
        hardening, state = make(model), trainer.state
        known = state.stateful_callbacks.get(_STATE)
        if state.global_step > 0 and isinstance(known, dict) and known.get("attributes"):
            hardening.load_state_dict(known["attributes"])
        return hardening

    def _off_nominal(
        self,
        hardening: HardeningLoss,
        model: nn.Module,
        inputs: dict[str, Any],
        nominal: Tensor,
        items: Any,
        chance: Any,
    ) -> None:
        trainer: Any = self
        steps = trainer.current_gradient_accumulation_steps
        own = trainer._get_num_items_in_batch([inputs], trainer.args.device) if items is not None else None
        if own is not None and mean_over_processes(own) == 0 and math.isfinite(mean_over_processes(nominal)):
            return  # a part without labels has no loss; a whole batch without them is 0 / 0
        if own is None or getattr(trainer, "loss_is_scaled_for_ga", None) is False:
            nominal = nominal * steps
        else:
            own = own.clamp(min=1)  # in one process of several there may be none
            nominal = nominal * (items / own)

        def closure() -> Tensor:
            with trainer.compute_loss_context_manager():
                loss: Tensor = trainer.compute_loss(model, trainer._prepare_inputs(inputs), num_items_in_batch=own)
            return loss

        hardening.check(nominal)
        with _metrics_kept(trainer):
            hardening.off_nominal(
                closure, nominal=nominal, chance=chance, backward=trainer.accelerator.backward, share=1 / steps
            )


def _refuse_release(folder: str) -> None:
    if (Path(folder) / SIDECAR).is_file():
        raise TrainingError(
            f"{folder} holds protected weights, which the optimizer's state does not fit and the final save would "
            "protect twice: use MergeGuardCallback, which leaves checkpoints raw, or get the raw weights back with "
            "`mergeguard unlock` and start from these."
        )


@contextmanager
def _metrics_kept(trainer: Any) -> Iterator[None]:
    """Leave what TRL's trainers note in `compute_loss` as it was: a merge's loss and tokens are none of theirs."""
    before = {name: copy.deepcopy(vars(trainer)[name]) for name in _NOTED if name in vars(trainer)}
    try:
        yield
    finally:
        vars(trainer).update(before)


class ProtectionState(TrainerCallback, ExportableState):
    """Keeps the state of the draws in checkpoints, and shrinks weights after a step where that is asked for."""

    def __init__(self, trainer: Any = None) -> None:
        self.trainer = trainer

    def state(self) -> dict[str, Any]:
        """Return what trainer_state.json keeps."""
        hardening = self.trainer.hardening
        return {"args": {}, "attributes": hardening.state_dict() if hardening is not None else {}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Forget an earlier training, whose model may be another one; refuse what would fail at the end of this one."""
        self.trainer.hardening = self.trainer._good = None
        if not args.load_best_model_at_end or not getattr(getattr(kwargs["model"], SETTINGS, None), "protects", False):
            return
        known = any(isinstance(callback, MergeGuardCallback) for callback in self.trainer.callback_handler.callbacks)
        if not known or state.is_hyper_param_search:
            raise TrainingError(
                "load_best_model_at_end would load a protected checkpoint, and the final save would protect it twice: "
                "use MergeGuardCallback, which leaves checkpoints raw; in a hyperparameter search, which it does not "
                "cover, set load_best_model_at_end=False."
            )

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Shrink the weights, if the penalty is decoupled."""
        density = self.trainer.density
        if density is not None and density.decoupled:
            rate = kwargs["optimizer"].param_groups[0]["lr"]
            with torch.no_grad():
                density.shrink(kwargs["model"], learning_rate=float(rate))


class ProtectedTrainer(MergeGuardTrainerMixin, Trainer):
    """transformers' Trainer that protects while it trains; see `MergeGuardTrainerMixin`.

    Example:
        trainer = ProtectedTrainer(
            model=enable(model, key="~/keys/mine.mgkey"),
            args=TrainingArguments("out"),
            train_dataset=data,
            hardening=partial(HardeningLoss, base=base, objective=Hardened(), guessing=class_guessing(10)),
        )
        trainer.train()
    """
