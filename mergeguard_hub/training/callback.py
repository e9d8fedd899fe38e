"""A callback for enabled models: checkpoints to resume from stay raw and local, everything else is protected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback

from mergeguard_hub.errors import HookError

SETTINGS = "mergeguard_settings"  # where `enable` and MergeGuardMixin keep how a model is saved
_SAFE = "end"


class MergeGuardCallback(TrainerCallback):
    """Leaves the checkpoints of a Trainer raw, so that training can be resumed, and protects the final save and push.

    Without it, an enabled model is protected in every save, also in checkpoint-N: safe, but the optimizer's moments
    there belong to the raw weights, and resuming from protected ones trains wrongly. With it, checkpoint-N holds raw
    weights beside the optimizer's state, which must never be published. So training is refused from the start where the
    Trainer would upload them: any `hub_strategy` but "end" does ("every_save", the default, copies a checkpoint's
    weights to the Hub). `save_model`, `push_to_hub` and everything after training are protected as ever.

    What is left raw depends on the place alone: `<output_dir>/checkpoint-N`, while that Trainer trains. Another save,
    by a callback of yours or with `push_to_hub`, is protected at any time. In a hyperparameter search, whose
    checkpoints lie elsewhere, those are protected too.

    Raises:
        HookError: when training begins, or before a push: the model is not enabled, or a strategy is unsafe.

    Example:
        trainer = Trainer(model=enable(model), args=arguments, callbacks=[MergeGuardCallback()], ...)
    """

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse unsafe strategies before anything is trained."""
        _check_strategy(args)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse unsafe strategies, and models whose saves nothing protects."""
        _check_strategy(args)
        model = kwargs["model"]
        if not hasattr(model, SETTINGS):
            raise HookError(
                f"this {type(model).__name__} is not enabled, so its final save would be raw: call "
                "mergeguard_hub.enable(model) before making the Trainer."
            )
        _keep_raw(model, Path(args.output_dir))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Protect every save again."""
        _keep_raw(kwargs["model"], None)

    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse to push checkpoints that were left raw."""
        _check_strategy(args)


def _keep_raw(model: nn.Module, output: Path | None) -> None:
    setattr(model, SETTINGS, replace(getattr(model, SETTINGS), checkpoints=output))


def _check_strategy(args: Any) -> None:
    strategy = str(getattr(args.hub_strategy, "value", args.hub_strategy))
    if args.push_to_hub and strategy != _SAFE:
        raise HookError(
            f"hub_strategy is {strategy!r}, which uploads checkpoints, and MergeGuardCallback leaves those raw: their "
            "weights, or the optimizer's state that helps to undo a protection, would be published. Set "
            f"hub_strategy={_SAFE!r}."
        )
