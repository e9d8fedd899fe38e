"""What hidden units do on some inputs, read off a running model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mergeguard_hub.architecture import Layout
from mergeguard_hub.attacks.attack import Activations, Tensors
from mergeguard_hub.errors import AttackError


def activations_on(
    load: Callable[[Tensors], nn.Module], inputs: Iterable[Mapping[str, Any]], layout: Layout
) -> Activations:
    """Return a function from weights to the activations of every MLP's hidden units.

    They are what an MLP's output map reads, so a hook on that module sees them whatever the MLP looks like.

    Args:
        load: weights on disk -> a module with them, in eval mode.
        inputs: keyword arguments of its forward pass, unlabelled.
        layout: what was proved.

    Returns:
        Weights -> (space name -> [tokens, units]).

    Raises:
        AttackError: a model has no module that holds an MLP's output map.
    """
    batches = list(inputs)

    def run(weights: Tensors) -> dict[str, Tensor]:
        model = load(weights)
        kept: dict[str, list[Tensor]] = {}
        hooks = [_hook(_module(model, mlp.down.weight, weights), f"{mlp.prefix}/units", kept) for mlp in layout.mlps]
        try:
            with torch.no_grad():
                for batch in batches:
                    model(**batch)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: torch.cat(found) for name, found in kept.items()}

    return run


def _module(model: nn.Module, name: str, weights: Tensors) -> nn.Module:
    """Return the module that holds a tensor, told by its content: names differ between disk and memory."""
    wanted = weights[name]
    for module in model.modules():
        held = getattr(module, "weight", None)
        if isinstance(held, Tensor) and held.shape == wanted.shape and torch.equal(held.to(wanted.dtype), wanted):
            return module
    raise AttackError(
        f"{type(model).__name__} has no module that holds {name!r} as it is (fused experts have none of their own); "
        "leave activation matching out for this class."
    )


def _hook(module: nn.Module, space: str, kept: dict[str, list[Tensor]]) -> Any:
    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        kept.setdefault(space, []).append(arguments[0].detach().reshape(-1, arguments[0].shape[-1]))

    return module.register_forward_pre_hook(keep)
