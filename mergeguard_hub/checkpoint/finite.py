"""Finding NaN and infinity in weights of any size, in one pass and without a copy."""

from __future__ import annotations

import torch

_CHUNK_ELEMENTS = 128 << 10  # float8 is widened chunk by chunk: 512 KB of float32


def has_nonfinite(tensor: torch.Tensor) -> bool:
    """Return whether any element is NaN or infinite. Integers and booleans never are.

    Reads each element once: the smallest and the largest element are finite exactly if all are, since NaN goes
    through both. Needs under 1 MB beside a dense tensor (a transposed one is dense); a tensor that skips elements of
    its storage is copied first.

    Args:
        tensor: [*shape], any dtype and shape, on the CPU.
    """
    if tensor.is_complex():
        return has_nonfinite(torch.view_as_real(tensor))
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return False
    flat = _dense(tensor.detach())
    if flat.itemsize == 1:  # torch has no reductions over float8
        return any(has_nonfinite(chunk.to(torch.float32)) for chunk in torch.split(flat, _CHUNK_ELEMENTS))
    low, high = torch.aminmax(flat)
    return not bool(torch.isfinite(low) & torch.isfinite(high))


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """Return the elements as [n], in memory order."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return tensor.permute(order).reshape(-1)
