"""What a plan does along one axis of a tensor: moving and scaling its entries, or mixing blocks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergeguard_hub.architecture.space import Positions

Floats = NDArray[np.float64]


@dataclass(eq=False)
class Gather:
    """Along an axis: result[i] = factor[i] * input[index[i]].

    Attributes:
        index: [n], where each entry comes from.
        factor: [n], float64.
    """

    index: Positions
    factor: Floats

    @property
    def moves(self) -> bool:
        """Whether any entry changes its place."""
        return not np.array_equal(self.index, np.arange(len(self.index)))

    @property
    def scales(self) -> bool:
        """Whether any factor is not one."""
        return not np.all(self.factor == 1.0)

    @property
    def idle(self) -> bool:
        """Whether nothing changes."""
        return not (self.moves or self.scales)

    @property
    def exact(self) -> bool:
        """Whether every factor is plus or minus a power of two, so that nothing rounds."""
        return is_power_of_two(self.factor)

    def inverse(self) -> Gather:
        """Return the step that undoes this one, exactly for powers of two; `index` must be a permutation."""
        index = np.empty_like(self.index)
        index[self.index] = np.arange(len(index))
        return Gather(index, 1.0 / self.factor[index])

    def apply(self, tensor: Tensor, axis: int) -> Tensor:
        """Return a new tensor, computed in its own dtype; the axis gets the length of `index`."""
        moved = tensor.index_select(axis, torch.from_numpy(self.index))
        if not self.scales:
            return moved
        return moved.mul_(torch.from_numpy(self.factor).to(tensor.dtype).view(-1, *[1] * (tensor.ndim - 1 - axis)))


@dataclass(eq=False)
class Matmul:
    """Along an axis: result[positions[b]] = matrices[b] @ input[positions[b]]; other positions stay.

    Attributes:
        positions: per block [size]; no position is in two blocks.
        matrices: per block [size, size], float64.
    """

    positions: list[Positions]
    matrices: list[Floats]
    _ready: dict[tuple[torch.dtype, int], list[tuple[slice | Tensor, Tensor]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def idle(self) -> bool:
        """Whether there are no blocks."""
        return not self.positions

    @property
    def exact(self) -> bool:
        """Mixing rounds."""
        return self.idle

    def inverse(self) -> Matmul:
        """Return the step that undoes this one up to rounding."""
        return Matmul(self.positions, [inverse_of(matrix) for matrix in self.matrices])

    def apply(self, tensor: Tensor, axis: int) -> Tensor:
        """Return a new tensor, computed in its own dtype."""
        before, length, after = tensor.shape[:axis].numel(), tensor.shape[axis], tensor.shape[axis + 1 :].numel()
        source = tensor.reshape(before, length, after)
        whole = sum(map(len, self.positions)) == length
        result = torch.empty_like(source) if whole else source.clone()
        for at, mixes in self._batches(tensor.dtype):
            count, size, _ = mixes.shape
            units = source[:, at].reshape(before, count, size, after)
            if after == 1:
                mixed = torch.bmm(units[..., 0].transpose(0, 1), mixes.transpose(1, 2)).transpose(0, 1)
            else:
                mixed = mixes @ units
            result[:, at] = mixed.reshape(before, count * size, after)
        return result.view(tensor.shape)

    def _batches(self, dtype: torch.dtype) -> list[tuple[slice | Tensor, Tensor]]:
        """Return positions and matrices [blocks, size, size] of all blocks of one size together."""
        key = dtype, len(self.positions)
        if key not in self._ready:
            sizes = dict.fromkeys(len(positions) for positions in self.positions)
            self._ready[key] = [
                (
                    positions_at(np.concatenate([positions for positions in self.positions if len(positions) == size])),
                    torch.from_numpy(np.stack([m for m in self.matrices if len(m) == size])).to(dtype),
                )
                for size in sizes
            ]
        return self._ready[key]

    def touched(self, rows: Positions) -> list[int]:
        """Return the blocks that any of these positions is in."""
        owner = np.full(1 + max(map(np.max, [rows, *self.positions])), -1, dtype=np.int64)
        for block, positions in enumerate(self.positions):
            owner[positions] = block
        return [block for block in np.unique(owner[rows]).tolist() if block >= 0]


Step = Gather | Matmul


def is_power_of_two(factor: Floats) -> bool:
    """Whether every entry is plus or minus a power of two.

    >>> is_power_of_two(np.array([-0.25, 8.0])), is_power_of_two(np.array([3.0]))
    (True, False)
    """
    return bool(np.all(np.frexp(np.abs(factor))[0] == 0.5))


def inverse_of(matrix: Floats) -> Floats:
    """Return the inverse of a square matrix, in float64."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def restricted(steps: Sequence[Step], rows: Positions) -> tuple[Positions, list[Step]]:
    """Limit a chain of steps to some of its results.

    Args:
        steps: in the order in which they act.
        rows: [n], entries of the result that are wanted, in any order.

    Returns:
        The entries of the input that they depend on, ascending, and the steps that take those to the wanted ones.
    """
    limited: list[Step] = []
    for step in reversed(steps):
        if isinstance(step, Gather):
            wanted = step.index[rows]
            needed = np.unique(wanted)
            limited.append(Gather(np.searchsorted(needed, wanted), step.factor[rows]))
        else:
            blocks = step.touched(rows)
            needed = np.unique(np.concatenate([rows, *(step.positions[b] for b in blocks)]))
            if not np.array_equal(needed, rows):
                limited.append(Gather(np.searchsorted(needed, rows), np.ones(len(rows))))
            local = [np.searchsorted(needed, step.positions[b]) for b in blocks]
            limited.append(Matmul(local, [step.matrices[b] for b in blocks]))
        rows = needed
    return rows, limited[::-1]


def closed_ranges(steps: Sequence[Step], length: int, least: int) -> list[tuple[int, int]]:
    """Cut 0..length into ranges of at least `least` results that share no mixed block with another range.

    Args:
        steps: in the order in which they act on an axis of that length.
        length: of the axis.
        least: entries per range to aim at; a block is never cut, so a range may be longer.
    """
    group = np.arange(length, dtype=np.int64)
    for step in steps:
        if isinstance(step, Gather):
            group = group[step.index]
        else:
            for positions in step.positions:
                group[positions] = group[positions].min()
    last = np.zeros(length, dtype=np.int64)
    last[group] = np.arange(length)
    reach = np.maximum.accumulate(last[group])
    ranges, start = [], 0
    for end in (np.flatnonzero(reach == np.arange(length)) + 1).tolist():
        if end - start >= least or end == length:
            ranges.append((start, end))
            start = end
    return ranges


def positions_at(positions: Positions) -> slice | Tensor:
    """Return positions as a slice where they are consecutive, which saves a copy."""
    first = int(positions[0])
    if np.array_equal(positions, np.arange(first, first + len(positions))):
        return slice(first, first + len(positions))
    return torch.from_numpy(positions)
