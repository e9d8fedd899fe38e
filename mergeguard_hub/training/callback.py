"""A callback for enabled models: checkpoints to resume from stay raw and local, everything else is protected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn
from transformers import TrainerCallback

from mergeguard_hub.errors import HookError

_SETTINGS = "mergeguard_settings"  # where `enable` and MergeGuardMixin keep how a model is saved
_SAFE = "end"


class MergeGuardCallback(TrainerCallback):
    """Leaves the checkpoints of a Trainer raw, so that training can be resumed, and protects the final save and push.

    Without it, an enabled model is protected in every save, also in checkpoint-N: safe, but the optimizer's moments
    there belong to the raw weights, and resuming from protected ones trains wrongly. With it, checkpoint-N holds raw
    weights beside the optimizer's state, which must never be published. So training is refused from the start where the
    Trainer would upload them: any `hub_strategy` but "end" does ("every_save", the default, copies a checkpoint's
    weights to the Hub). `save_model`, `push_to_hub` and everything after training are protected as ever.

    A callback is not told when writing a checkpoint fails. After an error in the middle of one, call `protect_again`
    before you save the model yourself; a Trainer that trains again does.

    Raises:
        HookError: when training begins, or before a push: the model is not enabled, or a strategy is unsafe.

    Example:
        trainer = Trainer(model=enable(model), args=arguments, callbacks=[MergeGuardCallback()], ...)
    """

    def __init__(self) -> None:
        self._kept: Any = None

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse unsafe strategies before anything is trained."""
        _check_strategy(args)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse unsafe strategies, and models whose saves nothing protects."""
        _check_strategy(args)
        model = kwargs["model"]
        self.protect_again(model)
        if str(getattr(args.save_strategy, "value", args.save_strategy)) == "best":
            raise HookError(
                "save_strategy is 'best', which decides to save without telling callbacks: those checkpoints would be "
                "protected, and resuming from them trains wrongly. Use 'steps' or 'epoch' with load_best_model_at_end."
            )
        if not hasattr(model, _SETTINGS):
            raise HookError(
                f"this {type(model).__name__} is not enabled, so its final save would be raw: call "
                "mergeguard_hub.enable(model) before making the Trainer."
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Let the checkpoint that is about to be saved be raw."""
        if control.should_save:
            self._plainly(kwargs["model"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """As `on_step_end`."""
        self.on_step_end(args, state, control, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """As `on_step_end`: other callbacks may ask for a save here."""
        self.on_step_end(args, state, control, **kwargs)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """As `on_step_end`."""
        self.on_step_end(args, state, control, **kwargs)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Protect again once the checkpoint is written."""
        self.protect_again(kwargs["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Protect again, also if no checkpoint was written after all."""
        self.protect_again(kwargs["model"])

    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse to push while checkpoints are being saved raw."""
        _check_strategy(args)
        self.protect_again(kwargs["model"])

    def _plainly(self, model: nn.Module) -> None:
        if self._kept is None:
            self._kept = (vars(model).get(_SETTINGS),)
            setattr(model, _SETTINGS, replace(getattr(model, _SETTINGS), protection=False))

    def protect_again(self, model: nn.Module) -> None:
        """Let saves of the model be protected, if they are not."""
        if self._kept is not None:
            (own,) = self._kept
            self._kept = None
            if own is None:
                delattr(model, _SETTINGS)
            else:
                setattr(model, _SETTINGS, own)


def _check_strategy(args: Any) -> None:
    strategy = str(getattr(args.hub_strategy, "value", args.hub_strategy))
    if args.push_to_hub and strategy != _SAFE:
        raise HookError(
            f"hub_strategy is {strategy!r}, which uploads checkpoints, and MergeGuardCallback leaves those raw: their "
            "weights, or the optimizer's state that helps to undo a protection, would be published. Set "
            f"hub_strategy={_SAFE!r}."
        )
