"""Adapters whose scaling is a scaling of their task vector: plain LoRA factors, and nothing beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from mergeguard_hub.errors import TrainingError

_FACTORS = ("lora_A.", "lora_B.", "lora_embedding_A.", "lora_embedding_B.")


def is_factor(name: str) -> bool:
    """Whether a parameter is one of the two factors of a LoRA adapter; their biases are none."""
    return any(factor in name for factor in _FACTORS) and not name.endswith(".bias")


def check_kinds(model: nn.Module) -> None:
    """Refuse a model with adapters that are no product of two factors.

    Raises:
        TrainingError: an adapter is of another kind than LoRA.
    """
    configs = getattr(model, "peft_config", None)
    for config in configs.values() if isinstance(configs, Mapping) else ():
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        if kind != "LORA":
            raise TrainingError(
                f"adapters of the kind {kind} cannot be scaled: their task vector is no product of two factors; train "
                "a LoRA adapter instead."
            )


def check_adapters(model: nn.Module, trained: Mapping[str, nn.Parameter], *, planes: bool) -> None:
    """Refuse adapters whose scaling would not be a scaling of the task vector.

    Args:
        model: the model with adapters.
        trained: its trained parameters.
        planes: whether partners are to be added to the frozen weights.

    Raises:
        TrainingError: other parameters are trained too, the weights below are tied, or quantised where they must move.
    """
    others = [name for name in trained if not is_factor(name)]
    if others:
        raise TrainingError(
            f"{others[0]!r} is trained beside LoRA factors: a merge does not scale it as it scales them, so the "
            "loss off nominal would not be that of a merge. Train the factors alone: no modules_to_save, no DoRA, no "
            "biases, and lora_bias=False."
        )
    owners: dict[int, list[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if not is_factor(name):
            owners.setdefault(id(weight), []).append(name)
    adapted = {name.split(".lora_")[0] for name in trained}
    for names in owners.values():
        on = [name for name in names if any(name.startswith(f"{module}.") for module in adapted)]
        if len(names) > 1 and on:
            raise TrainingError(
                f"an adapter is on {on[0]!r}, whose weights are tied to {_other(names, on[0])!r}: merged into one of "
                "the two it changes the other as well. Leave tied layers out of target_modules."
            )
    packed = [name for name, weight in model.named_parameters() if not weight.dtype.is_floating_point]
    if packed and planes:
        raise TrainingError(
            f"{packed[0]!r} is quantised ({dict(model.named_parameters())[packed[0]].dtype}), and a partner cannot be "
            "added to it. Load the base in 16 bit, or harden without partners (Trap2 scales the adapter alone)."
        )


def _other(names: Sequence[str], name: str) -> str:
    return next(other for other in names if other != name)
