"""Merging tensors in memory: check, upcast once, merge, round once. All methods go through here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mergeguard_hub.checkpoint import has_nonfinite
from mergeguard_hub.errors import NonFiniteWeightsError
from mergeguard_hub.merging.layout import ARITHMETIC, check_same_layout, place
from mergeguard_hub.merging.method import MergeMethod, TensorMerge, Tensors


def merge_tensors(method: MergeMethod, base: Tensors, models: Sequence[Tensors]) -> dict[str, Tensor]:
    """Merge models in memory; `merge` of every method is this function. See `MergeMethod.merge`."""
    check_same_layout(base, models)
    merge = method.prepare(base, models)
    return {
        name: merged_tensor(merge, name, tensor, [model[name] for model in models])
        if tensor.dtype in ARITHMETIC
        else tensor.clone()
        for name, tensor in base.items()
    }


def merged_tensor(merge: TensorMerge, name: str, base: Tensor, models: Sequence[Tensor]) -> Tensor:
    """Return one merged tensor, or a piece of one, in the dtype of the base.

    Args:
        merge: as `MergeMethod.prepare` returned it.
        name: of the tensor.
        base: [*S], F64, F32, F16 or BF16.
        models: the same of each model, [*S].

    Raises:
        NonFiniteWeightsError: a weight, or the result, is NaN or infinite.
    """
    if base.numel() == 0:
        return base.clone()
    wide = upcast([base, *models])
    for position, tensor in enumerate(wide):
        if has_nonfinite(tensor):
            where = place(position - 1, len(models)) if position else "the base"
            raise NonFiniteWeightsError(
                f"{name!r} of {where} holds NaN or infinite weights: its training probably diverged or the file is "
                "damaged; use another checkpoint."
            )
    result = merge(name, wide[0], wide[1:])
    rounded = result.to(base.dtype)
    if has_nonfinite(rounded):
        raise NonFiniteWeightsError(
            f"{name!r} of the merge holds numbers that {base.dtype} has no room for, up to {result.abs().max():.3g}: "
            "scale or weights are probably too large, or density too small; lower them."
        )
    return rounded


def upcast(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors in the dtype that merges are computed in: float32, or float64 if one of them is that."""
    wide = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
    return [tensor.to(wide) for tensor in tensors]
