"""The bytes of tensors and other buffers in memory, without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from typing_extensions import Buffer


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a tensor on the CPU, row-major, for `tensor_digest` and `StagedFolder.write`.

    A contiguous tensor is not copied: the view shares its memory and keeps it alive. Works for every dtype, scalars
    and empty tensors included.
    """
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.numel() == 0:
        return memoryview(b"")
    return flat.view(torch.uint8).numpy().data


def flat_view(data: Buffer) -> memoryview:
    """Return a contiguous buffer as [nbytes] bytes, without a copy."""
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")
