"""The weights that training moves, and how a scale on the task vector moves them: whole weights, or adapters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mergeguard_hub.errors import BaseModelError, TrainingError
from mergeguard_hub.training.base_weights import Base, check_pair, matched
from mergeguard_hub.training.directions import Direction
from mergeguard_hub.training.sharded import local, placed, same_memory
from mergeguard_hub.training.snapshot import Snapshot, forget_copies

_FACTORS = ("lora_A.", "lora_B.", "lora_embedding_A.", "lora_embedding_B.")


class Trained:
    """The trained parameters of a model, which can be put anywhere on a plane of merges and back bit for bit.

    Of a fully fine-tuned model, weights go to base + a (weights - base) + b rho. Of LoRA adapters, whose task vector is
    the product B A, each factor is scaled by sqrt(a): the product is scaled by a, and the gradients in both factors
    are those of the paper's "scale B by s" up to the factor `slope`, the same for all parameters. Frozen weights that a
    partner moves get b rho as well.

    Running statistics and counters, which a pass at a merge changes in train mode, come back with the weights.

    Memory: one copy of everything that moves, made when it first does, and the base's weights where those given are on
    another device, of another dtype, or the model's own.
    """

    def __init__(self, model: nn.Module, base: Base | None, partners: Sequence[Direction]) -> None:
        """Find and check what is trained.

        Raises:
            TrainingError: everything is frozen, or adapters are of a kind that cannot be scaled.
            BaseModelError: the base is missing or does not match.
        """
        self.model = _unwrapped(model)
        named = dict(self.model.named_parameters())
        trained = {name: weight for name, weight in named.items() if weight.requires_grad}
        if not trained:
            raise TrainingError(
                "no parameter requires a gradient, so there is nothing to protect by training: everything is frozen. "
                "Unfreeze the model, or add an adapter to it."
            )
        self.adapters = any(_is_factor(name) for name in trained)
        self.partners = [_renamed(partner, named) for partner in partners]
        if self.adapters:
            check_adapters(self.model, trained, planes=bool(partners))
        elif base is None:
            raise BaseModelError(
                "the base model is missing: full fine-tuning is scaled around it. Give the model, its folder or its "
                "weights; only adapters go without."
            )
        carried = dict.fromkeys(name for partner in self.partners for name in partner if name not in trained)
        self._frozen = [named[name] for name in carried]
        self._names = [*trained, *carried]
        self.weights = list(trained.values())
        self._own = Snapshot(self.model, [*self.weights, *self._frozen])
        self._base = [] if self.adapters else self._reference(trained, base)

    def slope(self, scale: float) -> float:
        """Return the factor from a gradient at the moved weights to that with respect to the trained ones."""
        return math.sqrt(scale) if self.adapters else scale

    def remember(self) -> None:
        """Keep the weights and buffers as they are now, for `restore`."""
        self._own.take()

    def move(self, scale: float, weight: float, partner: int | None) -> None:
        """Put the weights to a point of the plane, from those that `remember` kept."""
        trained = [local(tensor) for tensor in self.weights]
        own = self._own.kept[: len(trained)]
        if self.adapters:
            torch._foreach_mul_(trained, math.sqrt(scale))
        else:
            torch._foreach_copy_(trained, self._base)
            torch._foreach_lerp_(trained, own, scale)
        if partner is not None:
            for name, tensor in zip(self._names, [*self.weights, *self._frozen], strict=True):
                if name in self.partners[partner]:
                    change = self.partners[partner][name]
                    check_pair(name, tensor, change)
                    local(tensor).add_(placed(change, tensor), alpha=weight)
        forget_copies(self.model)

    def restore(self) -> bool:
        """Put weights and buffers back to what `remember` kept, bit for bit; returns False if it never kept any."""
        return self._own.restore()

    def _reference(self, trained: Mapping[str, nn.Parameter], base: Base | None) -> list[Tensor]:
        given = _renamed(base, trained) if isinstance(base, Mapping) else base
        if given is None:
            return []
        found = matched(trained, _unwrapped(given) if isinstance(given, nn.Module) else given)
        own = {name: placed(found[name], weight) for name, weight in trained.items()}
        shared = [name for name, weight in trained.items() if same_memory(own[name], local(weight))]
        return [tensor.clone() if name in shared else tensor for name, tensor in own.items()]


def check_adapters(model: nn.Module, trained: Mapping[str, nn.Parameter], *, planes: bool) -> None:
    """Refuse adapters whose scaling would not be a scaling of the task vector.

    Args:
        model: the model with adapters.
        trained: its trained parameters.
        planes: whether partners are to be added to the frozen weights.

    Raises:
        TrainingError: other parameters are trained too, the weights below are tied, or quantised where they must move.
    """
    others = [name for name in trained if not _is_factor(name)]
    if others:
        raise TrainingError(
            f"{others[0]!r} is trained beside LoRA factors: a merge does not scale it as it scales them, so the "
            "loss off nominal would not be that of a merge. Train the factors alone: no modules_to_save, no DoRA, no "
            "biases."
        )
    owners: dict[int, list[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if not _is_factor(name):
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


def _is_factor(name: str) -> bool:
    return any(factor in name for factor in _FACTORS)


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel or `torch.compile`."""
    inner = getattr(model, "module", None) or getattr(model, "_orig_mod", None)
    return _unwrapped(inner) if isinstance(inner, nn.Module) and _is_wrapper(model) else model


def _is_wrapper(model: nn.Module) -> bool:
    return type(model).__name__ in {"DistributedDataParallel", "DataParallel", "OptimizedModule"}


def _renamed(tensors: Direction, named: Iterable[str]) -> Direction:
    """Return tensors under the model's names: those that are not the model's are left out, adapters' wrapping is seen.

    Raises:
        BaseModelError: none of the tensors is the model's.
    """
    known = {name.removeprefix("base_model.model.").replace(".base_layer.", "."): name for name in named}
    found = {known[name]: name for name in tensors if name in known} | {name: name for name in tensors if name in named}
    if not found:
        raise BaseModelError(
            f"of the tensors given, such as {next(iter(tensors), None)!r}, none is among the model's, such as "
            f"{next(iter(known), None)!r}: they belong to another architecture, or to a wrapped model."
        )
    return _Renamed(tensors, found)


class _Renamed(Mapping[str, Tensor]):
    """Tensors by other names, looked up when they are asked for."""

    def __init__(self, tensors: Direction, names: Mapping[str, str]) -> None:
        self._tensors, self._names = tensors, names

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[self._names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
