"""Walking over all weights of several models in pieces that fit the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from mergeguard_hub.merging.layout import ARITHMETIC
from mergeguard_hub.merging.method import Tensors
from mergeguard_hub.merging.tensors import upcast

PIECE_ELEMENTS = 256 << 10  # 1 MB of float32 for each model; the fastest of 8K to 256K
_HELD_BYTES = 16 << 20  # more than all intermediate results of a piece


def pieces(base: Tensors, models: Sequence[Tensors]) -> Iterator[tuple[str, Tensor, list[Tensor]]]:
    """Yield every floating-point weight of all models as (name, base [n], models [n] each), in the working dtype.

    Args:
        base: tensors of the base model.
        models: the same tensors of each model.
    """
    hold_memory()
    for name in arithmetic_names(base):
        flat = [tensor.reshape(-1) for tensor in (base[name], *(model[name] for model in models))]
        for start in range(0, flat[0].numel(), PIECE_ELEMENTS):
            first, *others = upcast([tensor[start : start + PIECE_ELEMENTS] for tensor in flat])
            yield name, first, others


def arithmetic_names(base: Tensors) -> list[str]:
    """Return the names of the tensors that are merged by arithmetic, in the order of the base."""
    return [name for name, tensor in base.items() if tensor.dtype in ARITHMETIC]


@cache
def hold_memory() -> None:
    """Have the C library keep what is freed between two pieces, which makes walking over them four times as fast.

    glibc gives blocks above a threshold back to the system at once, and every page of the next one is then faulted in
    again. The threshold grows to the largest such block that was freed (mallopt(3), M_MMAP_THRESHOLD): this frees one,
    whose pages are never touched. Other C libraries are none the worse for it.
    """
    torch.empty(_HELD_BYTES, dtype=torch.uint8)
