"""A tensor as it will be stored, piece by piece, so that memory stays small whatever its size.

A piece is small enough for the processor's cache: it is gathered, multiplied, written and hashed without going through
main memory in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor

from mergeguard_hub.architecture.action import Plan, working_dtype
from mergeguard_hub.architecture.scaling import INTEGERS, Room, Scaling
from mergeguard_hub.architecture.steps import Gather, Step, closed_ranges, positions_at, restricted

PIECE_BYTES = 1 << 20  # a few such buffers stay in the processor's caches, and each is worth its calls, our choice
_MIXED_PIECES = 4  # mixes take pieces that many times larger: a matrix product has to be worth its call


def stored_pieces(
    plan: Plan, name: str, tensor: Tensor, *, piece_bytes: int = PIECE_BYTES, room: Room | None = None
) -> Iterator[Tensor]:
    """Yield what will be stored under `name`, as consecutive row-major pieces; together they are `plan.apply`.

    Moves, signs and powers of two run in the tensor's own dtype; whatever rounds is computed piece by piece in the
    working dtype and rounded once. Each piece is only valid until the next one is asked for.

    Args:
        plan: the composed recipe.
        name: name in the target.
        tensor: the source tensor, `plan.source.get(name, name)`, read-only.
        piece_bytes: size to aim at; one row of the last axis, or the heads that a mix joins, may be larger.
        room: what is known of the source's numbers.
    """
    axes = {axis: [step for step in todo if not step.idle] for axis, todo in plan.axes_of(name).items()}
    axes = {axis: todo for axis, todo in axes.items() if todo}
    moves = {axis: step for axis, (step, *more) in axes.items() if isinstance(step, Gather) and not more}
    tensor = tensor.contiguous()
    if not axes or tensor.numel() == 0:
        yield tensor
    elif len(moves) == len(axes):
        yield from _moved(moves, tensor, piece_bytes, room or Room())
    else:
        yield from _mixed(axes, tensor, piece_bytes * _MIXED_PIECES)


def _moved(moves: Mapping[int, Gather], tensor: Tensor, piece_bytes: int, room: Room) -> Iterator[Tensor]:
    """Gather on integer views, which numpy moves faster than torch, then scale."""
    source = tensor.view(INTEGERS[tensor.itemsize]).numpy()
    index = {axis: move.index for axis, move in moves.items() if move.moves}
    factors = {axis: move.factor for axis, move in moves.items() if move.scales}
    cut = _cut_axis(tensor, piece_bytes)
    rows = max(1, min(tensor.shape[cut], piece_bytes // max(1, tensor.itemsize * tensor.shape[cut + 1 :].numel())))
    shape = (rows, *tensor.shape[cut + 1 :])
    scaling = Scaling(factors, tensor.dtype, tensor.ndim, shape, room)
    buffers = np.empty(shape, source.dtype), np.empty(shape, source.dtype)
    for lead in np.ndindex(tensor.shape[:cut]):
        block = source[tuple(index[axis][i] if axis in index else i for axis, i in enumerate(lead))]
        for start in range(0, tensor.shape[cut], rows):
            at = (*lead, slice(start, min(start + rows, tensor.shape[cut])))
            moved, into = _gather(index, block, cut, at[-1], buffers)
            yield scaling.apply(moved, at, into)


def _cut_axis(tensor: Tensor, piece_bytes: int) -> int:
    """Return the first axis along which a tensor is cut, so that one entry of it is no larger than a piece."""
    for axis in range(tensor.ndim):
        if tensor.shape[axis + 1 :].numel() * tensor.itemsize <= piece_bytes:
            return axis
    return tensor.ndim - 1


def _gather(
    index: Mapping[int, np.ndarray], block: np.ndarray, cut: int, rows: slice, buffers: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gathered rows of a block, a view of it or one of the buffers, and a buffer that may be overwritten."""
    count = rows.stop - rows.start
    piece, into, other = block[rows], buffers[0][:count], buffers[1][:count]
    if cut in index:
        piece = np.take(block, index[cut][rows], axis=0, out=into, mode="clip")
        into, other = other, into
    for axis in (axis for axis in index if axis > cut):
        piece = np.take(piece, index[axis], axis=axis - cut, out=into, mode="clip")
        into, other = other, into
    return piece, into


def _mixed(axes: Mapping[int, list[Step]], tensor: Tensor, piece_bytes: int) -> Iterator[Tensor]:
    """Compute whole heads at a time, from the rows of the source that they depend on."""
    work = working_dtype(tensor.dtype)
    row_bytes = max(1, work.itemsize * tensor[:1].numel())
    for start, stop in closed_ranges(axes.get(0, []), tensor.shape[0], max(1, piece_bytes // row_bytes)):
        rows, first = restricted(axes.get(0, []), np.arange(start, stop, dtype=np.int64))
        result = tensor[positions_at(rows)].to(work)
        for axis, todo in axes.items():
            for step in first if axis == 0 else todo:
                result = step.apply(result, axis)
        yield result.to(tensor.dtype)
