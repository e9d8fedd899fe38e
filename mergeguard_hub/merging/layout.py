"""Which models fit together tensor by tensor; those that do not are refused by the first tensor that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mergeguard_hub.checkpoint import naming_advice, tensor_bytes
from mergeguard_hub.errors import MergeError

ARITHMETIC = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})
Kind = tuple[tuple[int, ...], torch.dtype]  # shape and dtype


def check_same_layout(base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> None:
    """Refuse models that cannot be merged with this base tensor by tensor. Weights are not looked at.

    Raises:
        MergeError: there is no model, or a tensor is missing, extra, of another shape, or not the same integers.
    """
    check_same_kinds(kinds(base), [kinds(model) for model in models])
    for name, tensor in base.items():
        if tensor.dtype not in ARITHMETIC:
            check_same_content(name, tensor, [model[name] for model in models])


def kinds(tensors: Mapping[str, Tensor]) -> dict[str, Kind]:
    """Return tensor name -> shape and dtype."""
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def check_same_kinds(base: Mapping[str, Kind], models: Sequence[Mapping[str, Kind]]) -> None:
    """Refuse models whose tensors have other names or shapes than the base's, or are numbers of another kind.

    Raises:
        MergeError: there is no model, or a tensor is missing, extra, of another shape or kind.
    """
    if not models:
        raise MergeError("There is nothing to merge: the list of models is empty; give at least one.")
    for position, model in enumerate(models):
        where = place(position, len(models))
        for name in sorted(base.keys() ^ model.keys()):
            owner, other = ("the base", where) if name in base else (where, "the base")
            raise MergeError(
                f"{owner} has a tensor {name!r} and {other} has none: the two come from different architectures or "
                f"heads; merge only models fine-tuned from this base.{naming_advice(base, model)}"
            )
        for name, kind in base.items():
            _check_kind(name, kind, model[name], where)


def check_same_content(name: str, base: Tensor, models: Sequence[Tensor]) -> None:
    """Refuse whole numbers, masks and other tensors without an average that differ between the models.

    Raises:
        MergeError: they differ.
    """
    content = tensor_bytes(base)
    for position, tensor in enumerate(models):
        if content != tensor_bytes(tensor):
            kind = "whole numbers" if not base.dtype.is_floating_point else f"{base.dtype} numbers"
            raise MergeError(
                f"{name!r} holds {kind} that differ between the base and {place(position, len(models))}, and those "
                "have no average: use models that share them."
            )


def place(position: int, count: int) -> str:
    """Return how messages call a model: its number among the models.

    >>> place(0, 3)
    'model 1 of 3'
    """
    return f"model {position + 1} of {count}"


def _check_kind(name: str, base: Kind, other: Kind, where: str) -> None:
    if base[0] != other[0]:
        raise MergeError(
            f"{name!r} has shape {base[0]} in the base and {other[0]} in {where}: probably another vocabulary or "
            "number of classes; merge only models of the same shape."
        )
    if base[1] != other[1] and not ARITHMETIC.issuperset({base[1], other[1]}):
        raise MergeError(
            f"{name!r} is {base[1]} in the base and {other[1]} in {where}: one of them is probably quantised; "
            "merge the original floating-point weights."
        )
