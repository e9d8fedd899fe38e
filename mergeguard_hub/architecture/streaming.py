"""A tensor as it will be stored, piece by piece, so that memory stays small whatever its size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mergeguard_hub.architecture.action import Gather, Plan

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def stored_pieces(plan: Plan, name: str, tensor: Tensor, *, piece_bytes: int = 4 << 20) -> Iterator[Tensor]:
    """Yield what will be stored under `name`, as consecutive row-major pieces.

    Moves, signs and powers of two run on about `piece_bytes` at a time in the tensor's own dtype; a mix takes the whole
    tensor. Each piece is only valid until the next one is asked for.

    Args:
        plan: the composed recipe.
        name: name in the target.
        tensor: the source tensor, `plan.source.get(name, name)`, read-only.
        piece_bytes: size to aim at.
    """
    axes = plan.axes_of(name)
    moves = {axis: todo[0] for axis, todo in axes.items() if len(todo) == 1 and isinstance(todo[0], Gather)}
    if not axes:
        yield tensor
    elif len(moves) == len(axes) and not plan.rounds(name):
        yield from _moved_pieces(moves, tensor, piece_bytes)
    else:
        yield plan.apply(name, tensor)


def _moved_pieces(moves: dict[int, Gather], tensor: Tensor, piece_bytes: int) -> Iterator[Tensor]:
    """Gather rows, then every other axis, on integer views: numpy moves 16-bit integers faster than torch moves
    bfloat16.
    """
    dtype, integer = tensor.dtype, _INTEGERS[tensor.element_size()]
    source = tensor.view(integer).numpy()
    factors = {
        axis: torch.from_numpy(move.factor).to(dtype).view([-1 if a == axis else 1 for a in range(tensor.ndim)])
        for axis, move in moves.items()
        if not np.all(move.factor == 1.0)
    }
    others = [(axis, move.index) for axis, move in moves.items() if axis > 0]
    rows = max(1, piece_bytes // max(1, tensor[:1].numel() * tensor.element_size()))
    for start in range(0, tensor.shape[0], rows):
        stop = min(start + rows, tensor.shape[0])
        piece = source[start:stop] if 0 not in moves else source.take(moves[0].index[start:stop], axis=0, mode="clip")
        for axis, index in others:
            piece = piece.take(index, axis=axis, mode="clip")
        stored = torch.from_numpy(np.ascontiguousarray(piece)).view(dtype)
        for axis, factor in factors.items():
            stored *= factor[start:stop] if axis == 0 else factor
        yield stored
