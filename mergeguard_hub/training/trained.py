"""The weights that training moves, and how a scale on the task vector moves them: whole weights, or adapters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mergeguard_hub.errors import BaseModelError, TrainingError
from mergeguard_hub.training.adapters import check_adapters, check_kinds, is_factor
from mergeguard_hub.training.base_weights import Base, matched
from mergeguard_hub.training.directions import Direction
from mergeguard_hub.training.renamed import Renamed, fitting
from mergeguard_hub.training.sharded import local, placed, same_memory
from mergeguard_hub.training.snapshot import Snapshot, forget_copies


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
            BaseModelError: the base is missing, or it or a partner does not match.
        """
        self.model = _unwrapped(model)
        named = dict(self.model.named_parameters())
        trained = {name: weight for name, weight in named.items() if weight.requires_grad}
        if not trained:
            raise TrainingError(
                "no parameter requires a gradient, so there is nothing to protect by training: everything is frozen. "
                "Unfreeze the model, or add an adapter to it."
            )
        check_kinds(self.model)
        self.adapters = any(is_factor(name) for name in trained)
        if self.adapters:
            check_adapters(self.model, trained, planes=bool(partners))
        elif base is None:
            raise BaseModelError(
                "the base model is missing: full fine-tuning is scaled around it. Give the model, its folder or its "
                "weights; only adapters go without."
            )
        self.weights = list(trained.values())
        self.partners = [fitting(partner, self.model, self.weights) for partner in partners]
        carried = dict.fromkeys(name for partner in self.partners for name in partner if name not in trained)
        self._frozen = [named[name] for name in carried]
        self._names = [*trained, *carried]
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
                    local(tensor).add_(placed(self.partners[partner][name], tensor), alpha=weight)
        forget_copies(self.model)

    def restore(self) -> bool:
        """Put weights and buffers back to what `remember` kept, bit for bit; returns False if it never kept any."""
        return self._own.restore()

    def _reference(self, trained: Mapping[str, nn.Parameter], base: Base | None) -> list[Tensor]:
        given = Renamed(base, trained) if isinstance(base, Mapping) else base
        if given is None:
            return []
        found = matched(trained, _unwrapped(given) if isinstance(given, nn.Module) else given)
        own = {name: placed(found[name], weight) for name, weight in trained.items()}
        shared = [name for name, weight in trained.items() if same_memory(own[name], local(weight))]
        return [tensor.clone() if name in shared else tensor for name, tensor in own.items()]


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel or `torch.compile`."""
    inner = getattr(model, "module", None) or getattr(model, "_orig_mod", None)
    return _unwrapped(inner) if isinstance(inner, nn.Module) and _is_wrapper(model) else model


def _is_wrapper(model: nn.Module) -> bool:
    return type(model).__name__ in {"DistributedDataParallel", "DataParallel", "OptimizedModule"}
