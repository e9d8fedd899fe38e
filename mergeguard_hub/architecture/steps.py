"""What a plan does along one axis of a tensor: moving and scaling its entries, or mixing blocks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        return Matmul(self.positions, [np.linalg.inv(matrix) for matrix in self.matrices])

    def apply(self, tensor: Tensor, axis: int) -> Tensor:
        """Return a new tensor, computed in its own dtype."""
        before, after = tensor.shape[:axis].numel(), tensor.shape[axis + 1 :].numel()
        source = tensor.reshape(before, tensor.shape[axis], after)
        result = source.clone()
        for positions, matrix in zip(self.positions, self.matrices, strict=True):
            at, mix = _at(positions), torch.from_numpy(matrix).to(tensor.dtype)
            if after == 1:
                result[:, at, 0] = source[:, at, 0] @ mix.T
            elif before == 1:
                result[0, at] = mix @ source[0, at]
            else:
                result[:, at] = mix @ source[:, at]
        return result.view(tensor.shape)


Step = Gather | Matmul


def is_power_of_two(factor: Floats) -> bool:
    """Whether every entry is plus or minus a power of two.

    >>> is_power_of_two(np.array([-0.25, 8.0])), is_power_of_two(np.array([3.0]))
    (True, False)
    """
    return bool(np.all(np.frexp(np.abs(factor))[0] == 0.5))


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
            blocks = [b for b, positions in enumerate(step.positions) if np.isin(positions, rows).any()]
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


def _at(positions: Positions) -> slice | Tensor:
    """Return positions as a slice where they are consecutive, which saves a copy."""
    first = int(positions[0])
    if np.array_equal(positions, np.arange(first, first + len(positions))):
        return slice(first, first + len(positions))
    return torch.from_numpy(positions)
