"""Task vectors: what fine-tuning added to the base model, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mergeguard_hub.errors import MergeError, NonFiniteWeightsError


def check_same_layout(base: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]]) -> None:
    """Refuse models that cannot be merged with this base tensor by tensor.

    Raises:
        MergeError: there is no model, or a tensor is missing, extra, of another shape, or not the same integers.
        NonFiniteWeightsError: a weight is NaN or infinite.
    """
    if not models:
        raise MergeError("There is nothing to merge: the list of models is empty; give at least one.")
    for position, model in enumerate(models):
        where = f"model {position + 1} of {len(models)}"
        for name in sorted(base.keys() ^ model.keys()):
            owner, other = ("the base", where) if name in base else (where, "the base")
            raise MergeError(
                f"{owner} has a tensor {name!r} and {other} has none: the two come from different architectures or "
                "heads; merge only models fine-tuned from this base."
            )
        for name, tensor in base.items():
            _check_tensor(name, tensor, model[name], where)
    for position, model in enumerate([base, *models]):
        for name, tensor in model.items():
            if not torch.isfinite(tensor).all():
                where = f"model {position} of {len(models)}" if position else "the base"
                raise NonFiniteWeightsError(
                    f"{name!r} of {where} holds NaN or infinite weights: its training probably diverged or the file is "
                    "damaged; use another checkpoint."
                )


def _check_tensor(name: str, base: Tensor, tensor: Tensor, where: str) -> None:
    if base.shape != tensor.shape:
        raise MergeError(
            f"{name!r} has shape {tuple(base.shape)} in the base and {tuple(tensor.shape)} in {where}: probably "
            "another vocabulary or number of classes; merge only models of the same shape."
        )
    if base.is_floating_point() != tensor.is_floating_point():
        raise MergeError(
            f"{name!r} is {base.dtype} in the base and {tensor.dtype} in {where}: one of them is probably quantised; "
            "merge the original floating-point weights."
        )
    if not base.is_floating_point() and not torch.equal(base, tensor):
        raise MergeError(
            f"{name!r} holds whole numbers that differ between the base and {where}, and those have no average: "
            "use models that share them."
        )


def task_vector(base: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return fine-tuned minus base for every floating-point tensor, in float32 or the wider dtype of the two."""
    return {name: working(model[name]) - working(tensor) for name, tensor in base.items() if tensor.is_floating_point()}


def add_task_vector(base: Mapping[str, Tensor], vector: Mapping[str, Tensor], *, scale: float) -> dict[str, Tensor]:
    """Return base + scale * vector, rounded once to the dtypes of the base; other tensors are copied."""
    return {
        name: (working(tensor) + scale * vector[name]).to(tensor.dtype) if name in vector else tensor.clone()
        for name, tensor in base.items()
    }


def working(tensor: Tensor) -> Tensor:
    """Return the tensor in the dtype that merges are computed in: float32, or float64 if it is that."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)
