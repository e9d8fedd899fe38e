"""The base model's weights as training needs them: found by name, checked against the model, mapped from a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mergeguard_hub.checkpoint import Checkpoint
from mergeguard_hub.errors import BaseModelError

Tensors = Mapping[str, Tensor]
Base = Tensors | nn.Module | str | Path
"""Parameter name -> weights, a model of the same class, or a model folder whose tensors have the model's names."""


class FolderTensors(Mapping[str, Tensor]):
    """The tensors of a model folder by name, each a view of its file: no memory of their own."""

    def __init__(self, folder: str | Path) -> None:
        """Open the folder. Errors as `Checkpoint.open`."""
        self._checkpoint = Checkpoint.open(Path(folder))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._checkpoint.entries:
            raise KeyError(name)
        return self._checkpoint.tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self._checkpoint.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._checkpoint.entries)

    def __len__(self) -> int:
        return len(self._checkpoint.entries)


def tensors_of(base: Base) -> Tensors:
    """Return base weights by name, whatever they were given as.

    Args:
        base: see `Base`. Give the model or its `state_dict()` where the folder's names differ from the parameters', as
            for models whose experts are fused when they are loaded.
    """
    if isinstance(base, nn.Module):
        return {name: tensor.detach() for name, tensor in base.state_dict(keep_vars=True).items()}
    return FolderTensors(base) if isinstance(base, (str, Path)) else base


def matched(named: Mapping[str, Tensor], base: Base) -> dict[str, Tensor]:
    """Return the base's tensor for each of the model's.

    Raises:
        BaseModelError: one is missing, has another shape, or holds no floating-point numbers.
    """
    given = tensors_of(base)
    found = {}
    for name, tensor in named.items():
        if name not in given:
            raise BaseModelError(
                f"the base model has no tensor {name!r}, which the model has, but {next(iter(given), None)!r}: "
                "it is another architecture, a new head, or the names of a wrapped model. Give the model that this "
                "one was fine-tuned from; a folder must store the names that the model in memory has. A head that is "
                "new has no base: freeze it (`requires_grad_(False)`) once it is trained."
            )
        check_pair(name, tensor, given[name])
        found[name] = given[name]
    return found


def check_pair(name: str, tensor: Tensor, base: Tensor, *, of: str = "the base") -> None:
    """Refuse two tensors that have no difference.

    Raises:
        BaseModelError: their shapes differ, or one holds no floating-point numbers.
    """
    if tensor.shape != base.shape:
        raise BaseModelError(
            f"{name!r} has shape {tuple(tensor.shape)} in the model and {tuple(base.shape)} in {of}: probably "
            "another vocabulary or number of classes, or another base. All have to come from one base."
        )
    if not (tensor.dtype.is_floating_point and base.dtype.is_floating_point):
        raise BaseModelError(
            f"{name!r} is {tensor.dtype} in the model and {base.dtype} in {of}: one of them is probably quantised. "
            "Load both without quantisation."
        )


def differing(named: Mapping[str, Tensor], base: Tensors) -> list[str]:
    """Return the names of the tensors that fine-tuning has changed."""
    return [name for name, tensor in named.items() if not torch.equal(tensor.detach(), base[name].to(tensor))]
